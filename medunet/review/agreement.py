"""How far readers agree: their outlines pair by pair, a consensus, their verdicts; one case or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import isnan, nan
from typing import Any

from medunet.errors import DataError
from medunet.geometry import voxel_volume_ml
from medunet.io.consensus import Consensus, consensus
from medunet.io.volume import Array
from medunet.metrics.bootstrap import summarise
from medunet.metrics.measures import dice, hd95_mm
from medunet.metrics.pair import merged, pairs
from medunet.review.kappa import Kappa, cohen, fleiss

FOREGROUND = "all"  # all labels together


@dataclass(frozen=True)
class PairScore:
    """Two readers' outlines of one label; None where both are empty: there is nothing to compare.

    dice: 0 to 1. hd95_mm: the image's diagonal where one of the two is empty. Volumes in ml (2D: 1000 mm^2).
    """

    first: str
    second: str
    label: str
    dice: float | None
    hd95_mm: float | None
    first_ml: float
    second_ml: float


@dataclass(frozen=True)
class Agreement:
    """The readers of one case, pair by pair and label by label, and the consensus of all."""

    pairs: tuple[PairScore, ...]
    consensus: Consensus
    names: dict[int, str]

    @property
    def lowest_dice(self) -> float | None:
        """The Dice of the two readers and the label that differ most; None where nobody drew anything."""
        return min((pair.dice for pair in self.pairs if pair.dice is not None), default=None)

    def as_json(self) -> dict[str, Any]:
        """Return plain values, without the mask of the consensus."""
        skills = {
            self.names[label]: {reader: asdict(skill) for reader, skill in of_label.items()}
            for label, of_label in self.consensus.skills.items()
        }
        return {"pairs": [asdict(p) for p in self.pairs], "staple": skills, "lowest_dice": self.lowest_dice}


def of(
    masks: Mapping[str, Array],
    labels: Mapping[int, str],
    spacing_mm: Sequence[float],
    *,
    instances: bool = False,
) -> Agreement:
    """Return how far the masks (X, Y[, Z]) of two readers or more agree; DataError for fewer.

    labels: value -> name. instances: each value is one object, numbered by each reader in their own way, so
    that only the foreground as a whole is compared.
    """
    if instances:
        masks, labels = _foreground(masks), {1: FOREGROUND}
    if len(masks) < 2 or not labels:
        raise DataError(f"{len(masks)} mask(s), {len(labels)} label(s): expected two readers and one label.")
    together = consensus(masks, list(labels))
    found = []
    for first, second in combinations(masks, 2):
        found += _pair_scores((first, second), (masks[first], masks[second]), labels, spacing_mm)
    return Agreement(tuple(found), together, dict(labels))


def lowest_dice(
    masks: Mapping[str, Array], labels: Sequence[int], *, instances: bool = False
) -> float | None:
    """Return the Dice of the two readers and the label that differ most; None where nobody drew anything."""
    if instances:
        masks, labels = _foreground(masks), [1]
    values = [
        dice.measure(pair)
        for first, second in combinations(masks.values(), 2)
        for pair in pairs(first, second, labels, [1.0] * first.ndim)
    ]
    return min((value for value in values if not isnan(value)), default=None)


def over_cases(cases: Sequence[Agreement], patients: Sequence[str], seed: int = 0) -> list[dict[str, Any]]:
    """Return Dice and HD95 of each pair of readers and label over cases, with 95 % intervals over patients.

    The last rows, of the readers "any" and "any", hold the mean over all pairs of each case.
    """
    table: dict[tuple[str, str, str], dict[str, list[tuple[float, str]]]] = {}
    for case, patient in zip(cases, patients, strict=True):
        for key, values in [*_rows(case), *_means(case)]:
            for measure, value in values.items():
                table.setdefault(key, {}).setdefault(measure, []).append((value, patient))
    found = []
    for key in sorted(table, key=lambda key: (key[0] == "any", key)):
        columns = {
            measure: summarise([v for v, _ in pairs], [who for _, who in pairs], seed=seed).as_json()
            for measure, pairs in table[key].items()
        }
        found.append(dict(zip(("first", "second", "label"), key, strict=True)) | columns)
    return found


def of_verdicts(
    verdicts: Mapping[str, Mapping[str, str]], patients: Mapping[str, str] | None = None, seed: int = 0
) -> dict[str, Kappa]:
    """Return kappas of verdicts[case][reader]: Cohen's of each pair "A, B", and Fleiss' of "all".

    "all" is there from three readers on. patients: case -> patient; cases of one patient are drawn together.
    """
    readers = sorted({reader for of_case in verdicts.values() for reader in of_case})
    who = patients or {case: case for case in verdicts}
    found = {}
    for first, second in combinations(readers, 2):
        shared = [case for case, of_case in verdicts.items() if first in of_case and second in of_case]
        if shared:
            a, b = ([verdicts[case][reader] for case in shared] for reader in (first, second))
            found[f"{first}, {second}"] = cohen(a, b, [who[case] for case in shared], seed)
    if len(readers) > 2:
        rows = [[of_case.get(reader) for reader in readers] for of_case in verdicts.values()]
        found["all"] = fleiss(rows, [who[case] for case in verdicts], seed)
    return found


def _foreground(masks: Mapping[str, Array]) -> dict[str, Array]:
    return {reader: (mask > 0).astype("uint8") for reader, mask in masks.items()}


def _pair_scores(
    readers: tuple[str, str],
    masks: tuple[Array, Array],
    labels: Mapping[int, str],
    spacing_mm: Sequence[float],
) -> list[PairScore]:
    found = list(zip(labels.values(), pairs(*masks, list(labels), spacing_mm), strict=True))
    if len(labels) > 1:
        first, second = (merged(mask, list(labels)) for mask in masks)
        found += zip([FOREGROUND], pairs(first, second, [1], spacing_mm), strict=True)
    ml = voxel_volume_ml(tuple(spacing_mm))
    return [
        PairScore(
            *readers,
            name,
            _known(dice.measure(pair)),
            _known(hd95_mm.measure(pair)),
            pair.truth_voxels * ml,
            pair.predicted_voxels * ml,
        )
        for name, pair in found
    ]


def _known(value: float) -> float | None:
    return None if isnan(value) else float(value)


Row = tuple[tuple[str, str, str], dict[str, float]]


def _rows(case: Agreement) -> list[Row]:
    found: list[Row] = []
    for pair in case.pairs:
        first, second = sorted((pair.first, pair.second))
        values = {"dice": _number(pair.dice), "hd95_mm": _number(pair.hd95_mm)}
        found.append(((first, second, pair.label), values))
    return found


def _means(case: Agreement) -> list[Row]:
    """Return the means over the pairs of readers, so that a case with many readers counts once."""
    found = []
    for label in dict.fromkeys(pair.label for pair in case.pairs):
        values = {}
        for measure in ("dice", "hd95_mm"):
            known = [v for p in case.pairs if p.label == label and (v := getattr(p, measure)) is not None]
            values[measure] = sum(known) / len(known) if known else nan
        found.append((("any", "any", label), values))
    return found


def _number(value: float | None) -> float:
    return nan if value is None else value
