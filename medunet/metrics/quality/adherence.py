"""Do synthetic images show what their masks say? Dice of a segmenter on them, against that on real images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Values = Sequence[float] | NDArray[np.float64]  # NaN: nothing to score

DRAWS = 2000


@dataclass(frozen=True)
class Adherence:
    """Mean Dice on synthetic over that on unseen real cases; 1: the ceiling. None: nothing to compare."""

    ratio: float | None
    ci95: tuple[float, float] | None
    synthetic_dice: float | None
    real_dice: float | None
    synthetic_cases: int
    real_cases: int

    def as_json(self) -> dict[str, Any]:
        """Return plain values; intervals become lists."""
        return asdict(self) | {"ci95": list(self.ci95) if self.ci95 else None}


def adherence(
    synthetic: Mapping[str, Values], real: Mapping[str, Values], *, seed: int = 0
) -> dict[str, Adherence]:
    """Return the ratio of mean Dice per label, with a 95 % bootstrap interval over the cases of both sets.

    NaN (the label is in neither mask nor prediction) is not counted; an interval needs two cases of each.
    """
    random = np.random.default_rng(seed)
    return {label: _of_label(synthetic[label], real[label], random) for label in real if label in synthetic}


def _of_label(synthetic: Values, real: Values, random: np.random.Generator) -> Adherence:
    kept = [np.asarray(values, float)[~np.isnan(np.asarray(values, float))] for values in (synthetic, real)]
    means = [float(values.mean()) if len(values) else None for values in kept]
    counts = (len(kept[0]), len(kept[1]))
    if means[0] is None or not means[1]:
        return Adherence(None, None, means[0], means[1], *counts)
    if min(counts) < 2:
        return Adherence(means[0] / means[1], None, means[0], means[1], *counts)
    drawn = [values[random.integers(0, len(values), (DRAWS, len(values)))].mean(axis=1) for values in kept]
    low, high = np.percentile(drawn[0][drawn[1] > 0] / drawn[1][drawn[1] > 0], [2.5, 97.5])
    return Adherence(means[0] / means[1], (float(low), float(high)), means[0], means[1], *counts)
