"""Agreement beyond chance on verdicts: Cohen's kappa of two readers, Fleiss' kappa of several."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medunet.errors import DataError
from medunet.metrics.bootstrap import CHUNK, DRAWS

Values = NDArray[np.float64]
Of = Callable[
    [Values], tuple[Values, Values]
]  # sums (draws, columns) -> observed, expected agreement (draws)

UNDEFINED_AT_MOST = 0.05  # of the draws: beyond, an interval of the others would be too narrow


@dataclass(frozen=True)
class Kappa:
    """Kappa with a 95 % percentile interval over patients (cluster bootstrap).

    `value` is None where all answers are the same: nothing was told apart, so chance explains everything.
    `ci95` is None with fewer than two patients, at a perfect agreement, of which every draw is perfect, and
    where draws often hold one answer only.
    """

    kind: str  # cohen, fleiss
    value: float | None
    ci95: tuple[float, float] | None
    observed: float | None  # share of pairs of answers that agree
    n: int  # cases with at least two answers
    readers: int

    def as_json(self) -> dict[str, Any]:
        """Return plain values; the interval becomes a list."""
        return asdict(self) | {"ci95": list(self.ci95) if self.ci95 else None}


def cohen(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    patients: Sequence[str] | None = None,
    seed: int = 0,
) -> Kappa:
    """Return Cohen's kappa (1960) of two readers' answers to the same cases.

    patients: whose each case is; if not said, each is of another. DataError where the lengths differ.
    """
    if len(first) != len(second):
        raise DataError(f"{len(first)} and {len(second)} answers: expected the same cases of both readers.")
    if not first:
        return Kappa("cohen", None, None, None, 0, 2)
    a, b = (_one_hot(answers, [*first, *second]) for answers in (first, second))
    both = np.concatenate([a, b, (a * b).sum(1, keepdims=True), np.ones((len(a), 1))], axis=1)

    def of(sums: Values) -> tuple[Values, Values]:
        n, observed = sums[:, -1], sums[:, -2] / sums[:, -1]
        by_first, by_second = np.split(sums[:, :-2], 2, axis=1)
        return observed, (by_first * by_second).sum(1) / n**2

    return _kappa("cohen", both, of, patients, seed, readers=2)


def fleiss(
    answers: Sequence[Sequence[Hashable | None]], patients: Sequence[str] | None = None, seed: int = 0
) -> Kappa:
    """Return Fleiss' kappa (1971) of answers[case][reader]; None: this reader did not answer.

    Cases with fewer than two answers are left out. Where their number varies, each case counts the same, in
    the agreement and in the shares of the categories; with equal numbers this is Fleiss' own formula.
    """
    kept = [index for index, row in enumerate(answers) if sum(one is not None for one in row) > 1]
    rows = [[one for one in answers[index] if one is not None] for index in kept]
    who = [patients[index] for index in kept] if patients is not None else None
    readers = max((len(row) for row in answers), default=0)
    if not rows:
        return Kappa("fleiss", None, None, None, 0, readers)
    seen = [one for row in rows for one in row]
    counts = np.array([_one_hot(row, seen).sum(0) for row in rows])
    n = counts.sum(1, keepdims=True)
    agree = ((counts**2).sum(1, keepdims=True) - n) / (n * (n - 1))
    table = np.concatenate([counts / n, agree, np.ones_like(n)], axis=1)

    def of(sums: Values) -> tuple[Values, Values]:
        means = sums[:, :-1] / sums[:, -1:]
        return means[:, -1], (means[:, :-1] ** 2).sum(1)

    return _kappa("fleiss", table, of, who, seed, readers=readers)


def _kappa(
    kind: str, table: Values, of: Of, patients: Sequence[str] | None, seed: int, readers: int
) -> Kappa:
    """Return kappa of a table (cases, columns) of which `of` needs the sums over cases only."""
    observed, expected = of(table.sum(0, keepdims=True))
    value = _beyond_chance(observed, expected)[0]
    if np.isnan(value):
        return Kappa(kind, None, None, float(observed[0]), len(table), readers)
    _, index = np.unique(patients if patients is not None else np.arange(len(table)), return_inverse=True)
    clusters = np.zeros((int(index.max()) + 1, table.shape[1]))
    np.add.at(clusters, index, table)
    interval = _interval(clusters, of, seed) if len(clusters) > 1 and observed[0] < 1 else None
    return Kappa(kind, float(value), interval, float(observed[0]), len(table), readers)


def _interval(clusters: Values, of: Of, seed: int) -> tuple[float, float] | None:
    """Return the percentile interval; draws in which all answers are the same have no kappa."""
    random, count, found = np.random.default_rng(seed), len(clusters), []
    for _ in range(DRAWS // CHUNK):
        times = random.multinomial(count, np.full(count, 1 / count), CHUNK)
        found.append(_beyond_chance(*of(times @ clusters)))
    values = np.concatenate(found)
    if np.isnan(values).mean() > UNDEFINED_AT_MOST:
        return None
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def _beyond_chance(observed: Values, expected: Values) -> Values:
    told_apart = expected < 1 - 1e-12
    return np.divide(observed - expected, 1 - expected, out=np.full_like(observed, np.nan), where=told_apart)


def _one_hot(answers: Sequence[Hashable], seen: Sequence[Hashable]) -> Values:
    place = {category: index for index, category in enumerate(dict.fromkeys(seen))}
    return np.eye(len(place))[[place[answer] for answer in answers]]
