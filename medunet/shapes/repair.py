"""Plausibility: what all training masks have in common, the repair of small faults, and words for the rest.

Rules are ranges of countable facts (`facts.py`), a little wider than the training masks span: a new mask may
be new, not strange.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, find_objects, generate_binary_structure

from medunet.geometry import voxel_volume_ml
from medunet.shapes.facts import (
    Facts,
    Region,
    at_the_edge,
    cut_faces,
    facts_of,
    holes_of,
    pieces_of,
    touching,
)

Mask = NDArray[np.uint8]
Range = tuple[float, float]
WIDER = 0.1  # of sizes and of the span of counts, beyond what the training masks show
ODD = 0.01  # of the masks on either side may be odd ones: slips of the pen set no rule
ROUNDING = 1e-9
FEW = 0.5  # divided by their number: the fewer masks, the less their extremes say

WORDS = {
    "volume_ml": "a volume of {:.4g} ml (2D: 1000 mm^2)",
    "pieces": "{:.0f} piece(s)",
    "largest_share": "{:.0%} of its voxels in its largest piece",
    "holes": "{:.0f} hole(s)",
    "euler": "an Euler number of {:.0f}",
    "smallest_ml": "a smallest piece of {:.4g} ml (2D: 1000 mm^2)",
}


EVERY_FACT = tuple(WORDS)


@dataclass(frozen=True)
class LabelRules:
    """What holds for one label in training: whether it is always there, and the range of every fact."""

    always: bool
    ranges: dict[str, Range]


@dataclass(frozen=True)
class Rules:
    """What holds for the training masks; `voxel_ml` of their grid."""

    labels: dict[int, LabelRules]
    touch: frozenset[tuple[int, int]]  # pairs of labels that share a border in some mask
    always_touch: frozenset[tuple[int, int]]  # in every mask that has both
    voxel_ml: float


def rules_of(masks: Sequence[Mask], spacing_mm: Sequence[float]) -> Rules:
    """Learn rules from training masks (X, Y[, Z]) of network labels, 0 = background."""
    facts = [facts_of(mask, spacing_mm) for mask in masks]
    labels = sorted({number for each in facts for number in each})
    wider = WIDER + FEW / max(len(masks), 1)
    rules = {}
    for number in labels:
        found = [each[number] for each in facts if number in each]
        names = {name for each in found for name in each}
        values = {name: [each[name] for each in found if name in each] for name in sorted(names)}
        ranges = {name: _range(name, numbers, wider) for name, numbers in values.items()}
        rules[number] = LabelRules(always=len(found) == len(masks), ranges=ranges)
    pairs = [touching(mask) for mask in masks]
    some = frozenset().union(*pairs)
    both = {(a, b): [p for p, f in zip(pairs, facts, strict=True) if a in f and b in f] for a, b in some}
    always = frozenset(pair for pair, where in both.items() if all(pair in p for p in where))
    return Rules(rules, some, always, voxel_volume_ml(spacing_mm))


def _range(name: str, values: Sequence[float], wider: float) -> Range:
    """Return the range of a fact, widened; a count that never varied stays as it is."""
    low, high = (float(v) for v in np.quantile(values, (ODD, 1 - ODD), method="closest_observation"))
    if name in ("volume_ml", "smallest_ml"):
        return low / (1 + wider), high * (1 + wider)
    if name == "largest_share":
        return low * (1 - wider) if low < 1 else 1.0, 1.0
    room = wider * (high - low)
    lowest = floor(low - room) if name == "euler" else max(floor(low - room), min(low, 1.0))
    return float(lowest), float(ceil(high + room))


def repaired(mask: Mask, rules: Rules) -> Mask:
    """Return a mask without the small faults that no training mask has.

    A label of one piece keeps its largest; pieces below the smallest of the training masks go (unless the
    edge of the frame may have cut them); holes are filled where no training mask has holes.
    """
    out = mask.copy()
    for number, box in enumerate(find_objects(mask), start=1):
        if box is not None and number in rules.labels:
            _drop_pieces(out, number, box, rules)
    for number, box in enumerate(find_objects(out), start=1):
        if box is not None and number in rules.labels and rules.labels[number].ranges["holes"][1] == 0:
            inside, _ = holes_of(out[box] == number)
            out[box][inside & (out[box] == 0)] = number
    return out


def _drop_pieces(mask: Mask, number: int, box: tuple[slice, ...], rules: Rules) -> None:
    """Give the unwanted pieces of a label to what surrounds them, in place."""
    ranges = rules.labels[number].ranges
    numbered, sizes = pieces_of(mask[box] == number)
    if len(sizes) == 2:
        return
    largest = int(np.argmax(sizes[1:])) + 1
    smallest_ml = ranges["smallest_ml"][0] if "smallest_ml" in ranges else 0.0
    edge = at_the_edge(numbered, cut_faces(box, mask.shape))
    alone = ranges["pieces"][1] == 1
    for piece in range(1, len(sizes)):
        speck = sizes[piece] * rules.voxel_ml < smallest_ml and piece not in edge
        if piece != largest and (alone or speck):
            give_away(mask, np.argwhere(numbered == piece) + [part.start for part in box])


def give_away(mask: Mask, voxels: NDArray[np.int_]) -> None:
    """Overwrite the voxels (n, d) of a piece with the commonest value around it."""
    low = np.maximum(voxels.min(0) - 1, 0)
    part = mask[tuple(slice(a, b) for a, b in zip(low, voxels.max(0) + 2, strict=True))]
    piece: Region = np.zeros(part.shape, bool)
    piece[tuple((voxels - low).T)] = True
    ring = binary_dilation(piece, generate_binary_structure(piece.ndim, 1)) & ~piece
    part[piece] = np.bincount(part[ring], minlength=1).argmax()


def problems(
    mask: Mask, rules: Rules, spacing_mm: Sequence[float], judged_by: Sequence[str] = EVERY_FACT
) -> list[str]:
    """Return in words, with numbers, what no training mask is like; empty: plausible.

    Which labels there are and which touch is always judged, of their facts those that are named.
    """
    facts = facts_of(mask, spacing_mm)
    faults = [f"label {n}: missing, every training mask has it" for n in _missing(facts, rules)]
    for number, found in facts.items():
        if number not in rules.labels:
            faults.append(f"label {number}: there, no training mask has it")
            continue
        faults += [
            f"label {number}: {text}" for text in _outside(found, rules.labels[number].ranges, judged_by)
        ]
    pairs = touching(mask)
    faults += [
        f"labels {a} and {b} touch, in no training mask they do" for a, b in sorted(pairs - rules.touch)
    ]
    apart = sorted(pair for pair in rules.always_touch - pairs if set(pair) <= facts.keys())
    return faults + [f"labels {a} and {b} do not touch, in every training mask they do" for a, b in apart]


def _missing(facts: dict[int, Facts], rules: Rules) -> list[int]:
    return [number for number, rule in rules.labels.items() if rule.always and number not in facts]


def _outside(found: Facts, ranges: dict[str, Range], judged_by: Sequence[str]) -> list[str]:
    texts = []
    for name, value in ((name, found[name]) for name in judged_by if name in found):
        low, high = ranges.get(name, (value, value))
        if value < low - ROUNDING * (1 + abs(low)) or value > high + ROUNDING * (1 + abs(high)):
            texts.append(f"{WORDS[name].format(value)}, expected {low:.4g} to {high:.4g}")
    return texts
