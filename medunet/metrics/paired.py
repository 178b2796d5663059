"""Is one way of training better than another? Paired over patients, with every training seed counted.

Both arms are scored on the same patients and trained with the same seeds. The mean difference would be
another with other patients and with other seeds, so both are drawn; a figure that ignores the seeds calls
the luck of three trainings a finding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from medunet.errors import DataError

Array = NDArray[Any]

DRAWS = 10_000
CHUNK = 1000  # draws at a time: bounds memory for thousands of patients
EXACT_UP_TO = 13  # patients whose signs are all tried, 8192 ways


@dataclass(frozen=True)
class Difference:
    """The mean of a - b over patients and seeds; no interval and no p with fewer than two patients."""

    mean: float | None
    ci95: tuple[float, float] | None
    p_value: float | None  # two-sided
    n_patients: int
    n_seeds: int

    def as_json(self) -> dict[str, Any]:
        """Return plain values; intervals become lists."""
        return asdict(self) | {"ci95": list(self.ci95) if self.ci95 else None}


def paired_difference(
    a: Float[Array, "seeds patients"], b: Float[Array, "seeds patients"], *, seed: int = 0
) -> Difference:
    """Return the mean of a - b with a 95 % interval and a two-sided p-value.

    Interval: patients are drawn with replacement, and so are the seeds' effects, after shrinking them by
    what the noise within patients explains (Carpenter et al. 2003); one fewer is drawn than there are,
    which makes the variance unbiased for three seeds too (Rao and Wu 1988). It is widened by Student's t
    over normal (Hesterberg 2015) with Satterthwaite's degrees of freedom.
    p: the larger of the t test with the bootstrap's error and the test that flips the signs of patients.
    One seed: the interval says nothing about another training. A patient with a NaN anywhere is left out:
    average the cases of one patient first. Raises DataError where the arms differ in shape.
    """
    if a.shape != b.shape:
        raise DataError(
            f"arms of {a.shape} and {b.shape} (seeds, patients), expected equal. Score both on the same."
        )
    differences = (a - b)[:, ~np.isnan(a - b).any(axis=0)]
    seeds, patients = differences.shape
    mean = float(differences.mean()) if differences.size else None
    if mean is None or patients < 2:
        return Difference(mean, None, None, patients, seeds)
    random = np.random.default_rng(seed)
    of_patients, of_seeds = differences.mean(axis=0) - mean, _seed_effects(differences)
    drawn = _drawn_means(of_patients, random) + _drawn_means(of_seeds, random)
    degrees = _degrees(of_patients, of_seeds)
    low, high = np.percentile(drawn, [2.5, 97.5]) * student.ppf(0.975, degrees) / norm.ppf(0.975)
    error = float(drawn.std())
    by_t = 2 * float(student.sf(abs(mean) / error, degrees)) if error > 0 else 0.0
    p_value = max(by_t, _sign_flip_p(of_patients + mean, random))
    return Difference(mean, (mean + float(low), mean + float(high)), p_value, patients, seeds)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values adjusted for a family of comparisons (Holm 1979), in the given order.

    Below 0.05 each: the chance of one false finding or more in the family is below 5 %.
    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    found = np.asarray(p_values, float)
    if not ((found >= 0) & (found <= 1)).all():
        raise DataError(
            f"p-values {list(p_values)}, expected 0 to 1 each. Leave comparisons without one out."
        )
    order = np.argsort(found, kind="stable")
    raised = np.maximum.accumulate(found[order] * np.arange(len(found), 0, -1))
    adjusted = np.empty(len(found))
    adjusted[order] = np.minimum(raised, 1.0)
    return tuple(adjusted.tolist())


def _seed_effects(differences: Array) -> Array:
    """Return how far each seed moves all patients, shrunk to the variance that is beyond the noise."""
    seeds, patients = differences.shape
    effects = differences.mean(axis=1) - differences.mean()
    between = patients * float((effects**2).sum())  # sum of squares, seeds - 1 degrees of freedom
    if seeds == 1 or between == 0:
        return np.zeros(seeds)
    rest = differences - differences.mean(axis=0) - effects[:, None]
    noise = float((rest**2).sum()) / (patients - 1)  # to the same degrees of freedom
    return effects * np.sqrt(max(1 - noise / between, 0.0))


def _drawn_means(effects: Array, random: np.random.Generator) -> Array:
    """Return (draws,) means of one effect fewer than there are, drawn with replacement."""
    count = len(effects)
    size = max(count - 1, 1)
    chunks = [
        random.multinomial(size, np.full(count, 1 / count), CHUNK) @ effects for _ in range(DRAWS // CHUNK)
    ]
    return np.concatenate(chunks) / size


def _degrees(of_patients: Array, of_seeds: Array) -> float:
    """Return Satterthwaite's degrees of freedom of the error that patients and seeds cause together."""
    parts = [
        (float(effects.var(ddof=1)) / len(effects), len(effects) - 1)
        for effects in (of_patients, of_seeds)
        if len(effects) > 1
    ]
    below = sum(variance**2 / free for variance, free in parts)
    return sum(variance for variance, _ in parts) ** 2 / below if below > 0 else len(of_patients) - 1.0


def _sign_flip_p(differences: Array, random: np.random.Generator) -> float:
    """Return how often flipped signs of patients give as large a mean; few patients: all ways."""
    patients = len(differences)
    if patients <= EXACT_UP_TO:
        signs = 1 - 2 * ((np.arange(2**patients)[:, None] >> np.arange(patients)) & 1)
        return float(np.mean(_reached(signs, differences)))
    reached = sum(
        int(_reached(random.choice([-1, 1], (CHUNK, patients)), differences).sum())
        for _ in range(DRAWS // CHUNK)
    )
    return (reached + 1) / (DRAWS // CHUNK * CHUNK + 1)


def _reached(signs: Array, differences: Array) -> Array:
    """Return where the mean with these signs is as far from 0 as the true one; equal ones count."""
    return np.abs(signs @ differences) >= abs(differences.sum()) * (1 - 1e-12)
