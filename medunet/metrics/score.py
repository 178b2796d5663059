"""Score one case: every measure of every label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, cast, runtime_checkable

from medunet.metrics import measures
from medunet.metrics.measures import dice
from medunet.metrics.pair import Labels, Pair, merged, pair_of, pairs


@runtime_checkable
class Measure(Protocol):
    """What a file in `measures/` holds."""

    TITLE: str
    BETTER: str

    def measure(self, pair: Pair, /) -> float:
        """Return the value, NaN where there is nothing to score."""


@dataclass(frozen=True)
class LabelScore:
    """One label of one case: values by measure (NaN: nothing to score) and how many voxels it has."""

    values: dict[str, float]
    truth_voxels: int
    predicted_voxels: int


@dataclass(frozen=True)
class CaseScore:
    """One case: scores by label name, and the Dice of all labels merged."""

    labels: dict[str, LabelScore]
    foreground_dice: float


@cache
def names() -> tuple[str, ...]:
    """Return the names of the measures, those of overlap first."""
    found = {module.name for module in iter_modules(measures.__path__)}
    first = ("dice", "iou", "nsd", "hd95_mm", "assd_mm", "volume_error_ml")
    return (*(name for name in first if name in found), *sorted(found.difference(first)))


@cache
def measure_of(name: str) -> Measure:
    """Return a measure by its file name."""
    return cast(Measure, import_module(f"{measures.__name__}.{name}"))


def score(
    truth: Labels,
    prediction: Labels,
    labels: Mapping[int, str],
    spacing_mm: Sequence[float],
    *,
    tolerance_mm: float = 1.0,
    fov: Labels | None = None,
) -> CaseScore:
    """Return every measure of every label of two integer masks (X, Y[, Z]).

    labels: value -> name. Only voxels where `fov` is above 0 are scored.
    """
    found = pairs(truth, prediction, list(labels), spacing_mm, tolerance_mm=tolerance_mm, fov=fov)
    by_label = {name: _label_score(pair) for name, pair in zip(labels.values(), found, strict=True)}
    if len(labels) == 1:
        return CaseScore(by_label, next(iter(by_label.values())).values["dice"])
    together = pair_of(merged(truth, list(labels)), merged(prediction, list(labels)), 1, spacing_mm, fov=fov)
    return CaseScore(by_label, dice.measure(together))


def _label_score(pair: Pair) -> LabelScore:
    values = {name: measure_of(name).measure(pair) for name in names()}
    return LabelScore(values, pair.truth_voxels, pair.predicted_voxels)
