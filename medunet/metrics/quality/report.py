"""All measures of the quality of a synthetic set in one record, each with a phrase on how to read it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, Real
from numpy.typing import NDArray

from medunet.errors import DataError
from medunet.metrics.quality.adherence import Values, adherence
from medunet.metrics.quality.frechet import frechet
from medunet.metrics.quality.halves import FEWEST, REPEATS, halves, with_floor
from medunet.metrics.quality.kid import kid
from medunet.metrics.quality.ms_ssim import diversity
from medunet.metrics.quality.prdc import prdc
from medunet.metrics.quality.radiomics import log_radiomic_frechet, standardised, table
from medunet.metrics.quality.spectrum import EDGES, grid_ratio, radial_power, relative_power

Array = NDArray[Any]
Dice = Mapping[str, Values]  # per label, one value a case

WHOLE = "whole image"
BACKGROUND = "background"
PERIODS = (2, 4)
NEIGHBOURS = 5
READS = {
    "radiomic_frechet": "ratio 1: as alike as two halves of the real set; above: brightness or texture off",
    "encoder_frechet": "as radiomic_frechet, as seen by the segmenter's own encoder",
    "kid": "about 0: alike; an interval above 0: a difference that is not due to chance",
    "prdc": "precision, density: realism; recall, coverage: variety; compare with `real_halves`",
    "ms_ssim": "difference above 0.02: less variety than the real set, the mark of mode collapse",
    "spectrum": "1: as real; above: noise or specks, below: blurred; per band in cycles per voxel",
    "grid": "above 1.2 times real: the seams of space-to-depth show",
    "adherence": "1: the segmenter finds the labels as well as on real images",
}


@dataclass(frozen=True)
class ImageSet:
    """Images (C, X, Y[, Z]), z-scored in one way for both sets, with their masks.

    features: of an encoder (cases, f), `encoder.pooled_features`; patients: of each case (real sets);
    dice: per label name, a segmenter's Dice against the mask, NaN where there was nothing to score.
    """

    images: Sequence[Real[Array, "c ..."]]
    masks: Sequence[Integer[Array, " ..."]]
    features: Float[Array, "n f"] | None = None
    patients: Sequence[str] | None = None
    dice: Dice | None = None


def quality(
    real: ImageSet, synthetic: ImageSet, labels: Mapping[int, str], *, repeats: int = REPEATS, seed: int = 0
) -> dict[str, Any]:
    """Return all measures as plain JSON values (None: could not be measured), each with `reads`.

    labels: value -> name; the background and the whole image are added. What needs encoder features or
    Dice is left out where they are missing, what needs halves of the encoder's features where there are too
    few patients for two. repeats: draws of halves. Raises DataError below 4 cases.
    """
    for name, cases in (("real", real), ("synthetic", synthetic)):
        if len(cases.images) < FEWEST:
            raise DataError(f"{len(cases.images)} {name} cases, expected at least {FEWEST}. Give more cases.")
    regions: dict[int | None, str] = {None: WHOLE, 0: BACKGROUND}
    regions.update(labels.items())
    draws = {"repeats": repeats, "seed": seed}
    found = {
        "radiomic_frechet": _radiomics(real, synthetic, regions, draws),
        "ms_ssim": diversity(real.images, synthetic.images, seed=seed).as_json(),
        "spectrum": _spectrum(real, synthetic, regions),
        "grid": _grid(real, synthetic, regions),
    }
    if real.features is not None and synthetic.features is not None:
        found |= _of_encoder(real.features, synthetic.features, real.patients, draws)
    if real.dice and synthetic.dice:
        of_labels = adherence(synthetic.dice, real.dice, seed=seed)
        found["adherence"] = {label: value.as_json() for label, value in of_labels.items()}
    return {"real_cases": len(real.images), "synthetic_cases": len(synthetic.images)} | {
        name: {"reads": READS[name]} | _plain(values) for name, values in found.items()
    }


def _radiomics(
    real: ImageSet, synthetic: ImageSet, regions: dict[int | None, str], draws: dict[str, int]
) -> dict[str, Any]:
    """Return per region the floored distance and the log distance; None where too few cases have it."""
    tables = [table(each.images, each.masks, list(regions)) for each in (real, synthetic)]
    found: dict[str, Any] = {}
    for label, name in regions.items():
        known = np.isfinite(tables[0][label]).all(axis=1)
        groups = None if real.patients is None else np.asarray(real.patients)[known].tolist()
        try:
            rows = standardised(tables[0][label], tables[1][label])
            floored = with_floor(rows[0], rows[1], frechet, groups=groups, **draws)
        except DataError:  # a rare label: in too few cases for two halves
            found[name] = None
            continue
        log = log_radiomic_frechet(tables[0][label], tables[1][label])
        found[name] = floored.as_json() | {"log_distance": log}
    return {"regions": found}


def _of_encoder(
    real: Array, synthetic: Array, patients: Sequence[str] | None, draws: dict[str, int]
) -> dict[str, Any]:
    rows = standardised(real, synthetic)
    found: dict[str, Any] = {"kid": kid(rows[0], rows[1], seed=draws["seed"]).as_json()}
    try:
        drawn = list(halves(len(real), len(synthetic), groups=patients, **draws))
    except DataError:  # all of one or two patients: these are never in both halves
        return found
    found["encoder_frechet"] = with_floor(rows[0], rows[1], frechet, groups=patients, **draws).as_json()
    if len(drawn[0][0]) > NEIGHBOURS:
        found["prdc"] = {
            "synthetic": _mean(
                [prdc(rows[0][i], rows[1][k], neighbours=NEIGHBOURS).as_json() for i, _, k in drawn]
            ),
            "real_halves": _mean(
                [prdc(rows[0][i], rows[0][j], neighbours=NEIGHBOURS).as_json() for i, j, _ in drawn]
            ),
        }
    return found


def _spectrum(real: ImageSet, synthetic: ImageSet, regions: dict[int | None, str]) -> dict[str, Any]:
    found = {}
    for label, name in regions.items():
        of_sets = [
            np.stack([radial_power(i, m, label) for i, m in zip(each.images, each.masks, strict=True)])
            for each in (synthetic, real)
        ]
        ratio, low, high = relative_power(of_sets[0], of_sets[1]).tolist()
        found[name] = {"synthetic_over_real": ratio, "ci95": list(map(list, zip(low, high, strict=True)))}
    return {"band_edges": list(EDGES), "regions": found}


def _grid(real: ImageSet, synthetic: ImageSet, regions: dict[int | None, str]) -> dict[str, Any]:
    return {
        f"period_{period}": {
            name: {
                kind: grid_ratio(each.images, period, each.masks, label)
                for kind, each in (("synthetic", synthetic), ("real", real))
            }
            for label, name in regions.items()
        }
        for period in PERIODS
    }


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def _plain(values: Any) -> Any:
    """Return the same with None for NaN, which JSON does not know."""
    if isinstance(values, dict):
        return {key: _plain(value) for key, value in values.items()}
    if isinstance(values, list):
        return [_plain(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
