"""Mean, median and a 95 % interval over patients.

Cases of one patient are alike, so patients are drawn, each with all their cases (cluster bootstrap). The
interval says how the mean would vary had other patients been scored; it says nothing about another training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

DRAWS = 2000
CHUNK = 250  # draws at a time: bounds memory for thousands of patients


@dataclass(frozen=True)
class Summary:
    """What a number must carry. `ci95` is of the mean; None with fewer than two patients, never a guess."""

    mean: float | None
    median: float | None
    ci95: tuple[float, float] | None
    n: int  # cases with a value
    patients: int  # patients with a value

    def as_json(self) -> dict[str, Any]:
        """Return plain values; None becomes null."""
        return asdict(self) | {"ci95": list(self.ci95) if self.ci95 else None}


def summarise(values: Sequence[float], patients: Sequence[str], *, seed: int = 0) -> Summary:
    """Return the summary of one value per case; NaN values are not counted."""
    table = np.asarray(values, float)
    kept = ~np.isnan(table)
    who = [patient for patient, keep in zip(patients, kept, strict=True) if keep]
    table = table[kept]
    if not len(table):
        return Summary(None, None, None, 0, 0)
    interval = interval_of_mean(table[:, None], who, seed=seed)
    return Summary(float(table.mean()), float(np.median(table)), interval, len(table), len(set(who)))


def interval_of_mean(table: Values, patients: Sequence[str], *, seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of the mean over columns of the mean over cases.

    table: (cases, columns), NaN not counted. None where fewer than two patients have a value.
    """
    _, index = np.unique(np.asarray(patients, str), return_inverse=True)
    known = ~np.isnan(table)
    count = int(index.max()) + 1 if len(index) else 0
    sums, numbers = np.zeros((count, table.shape[1])), np.zeros((count, table.shape[1]))
    np.add.at(sums, index, np.where(known, table, 0.0))
    np.add.at(numbers, index, known)
    scored = numbers.any(axis=1)
    if scored.sum() < 2:
        return None
    means = _resampled_means(sums[scored], numbers[scored], np.random.default_rng(seed))
    low, high = np.nanpercentile(means, [2.5, 97.5])
    return float(low), float(high)


def _resampled_means(sums: Values, numbers: Values, random: np.random.Generator) -> Values:
    """Return (draws,) means; each draw takes as many patients as there are, with replacement."""
    count = len(sums)
    out = []
    for start in range(0, DRAWS, CHUNK):
        size = min(CHUNK, DRAWS - start)
        times = random.multinomial(count, np.full(count, 1 / count), size=size).astype(float)
        drawn = times @ numbers
        means = np.divide(times @ sums, drawn, out=np.full_like(drawn, np.nan), where=drawn > 0)
        out.append(means.mean(axis=1))  # a draw without any value of a label has no mean over labels
    return np.concatenate(out)
