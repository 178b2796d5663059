"""Shares and curves of a reader study: exact intervals, equivalence, the area under the ROC curve.

Nothing here knows a database. Figures that have no honest interval have None, and never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, ndtri
from scipy.stats import rankdata

from medunet.errors import ConfigError, DataError

Values = NDArray[np.float64]
ALPHA = 0.05


@dataclass(frozen=True)
class Share:
    """How many of n, with the exact 95 % interval (Clopper and Pearson 1934); None where n is 0."""

    count: int
    n: int
    value: float | None
    ci95: tuple[float, float] | None

    def as_json(self) -> dict[str, Any]:
        """Return plain values; the interval becomes a list."""
        return asdict(self) | {"ci95": list(self.ci95) if self.ci95 else None}


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests that a share lies within `margin` of `centre` (Schuirmann 1987).

    `ci90`: the exact 90 % interval; `equivalent` says that it lies wholly within the margin. `reachable`:
    whether any count out of so many could have shown equivalence; if not, the study was too small.
    """

    margin: float
    p_value: float | None
    ci90: tuple[float, float] | None
    equivalent: bool
    reachable: bool

    def as_json(self) -> dict[str, Any]:
        """Return plain values; the interval becomes a list."""
        return asdict(self) | {"ci90": list(self.ci90) if self.ci90 else None}


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve with DeLong's standard error; no interval where the error is 0."""

    value: float
    error: float
    ci95: tuple[float, float] | None

    def as_json(self) -> dict[str, Any]:
        """Return plain values; the interval becomes a list."""
        return asdict(self) | {"ci95": list(self.ci95) if self.ci95 else None}


def share(count: int, n: int) -> Share:
    """Return count / n with its exact 95 % interval; DataError unless 0 <= count <= n.

    >>> [round(edge, 4) for edge in share(0, 20).ci95]
    [0.0, 0.1684]
    """
    if not 0 <= count <= n:
        raise DataError(f"{count} of {n}: expected a count from 0 to n. Count each answer once.")
    return Share(count, n, count / n, _interval(count, n, 0.95)) if n else Share(0, 0, None, None)


def equivalence(count: int, n: int, margin: float, centre: float = 0.5) -> Equivalence:
    """Test at 5 % whether the share behind `count` of `n` independent answers is within `margin` of `centre`.

    p: the larger of the two exact binomial tests against centre - margin and centre + margin. Raises
    ConfigError where the margin leaves nothing to test against.
    """
    need_margin(margin, centre)
    if n == 0:
        return Equivalence(margin, None, None, False, False)
    p_value = _larger_p(count, n, margin, centre)
    best = min(_larger_p(near, n, margin, centre) for near in {int(n * centre), -int(-n * centre // 1)})
    return Equivalence(margin, p_value, _interval(count, n, 0.90), p_value <= ALPHA, best <= ALPHA)


def answers_needed(margin: float, power: float = 0.8) -> int:
    """Return the fewest answers of which a share of truly 50 % is shown equivalent with this power.

    As for all exact tests, the power is a saw: the number is the first that reaches it.

    >>> answers_needed(0.1)
    214
    """
    need_margin(margin, 0.5)
    n = 2
    while _power(n, margin) < power:
        n += 2  # as many real as synthetic
    return n


def need_margin(margin: float, centre: float = 0.5) -> None:
    """Raise ConfigError unless centre - margin and centre + margin are shares."""
    if not 0 < margin < min(centre, 1 - centre):
        raise ConfigError(
            f"margin {margin:g}: expected more than 0 and less than {min(centre, 1 - centre):g}, as a share. "
            "0.1 says: between 40 % and 60 % right is as good as guessing."
        )


def auc(positive: Sequence[float], negative: Sequence[float]) -> Auc | None:
    """Return the chance that a positive has the higher score, ties counting half, with DeLong's interval.

    Source: DeLong et al., Biometrics 1988, by mid-ranks (Sun and Xu, IEEE SPL 2014); the interval is cut to
    0 to 1. None with fewer than two scores of either kind.
    """
    high, low = np.asarray(positive, float), np.asarray(negative, float)
    if min(len(high), len(low)) < 2:
        return None
    ranks = rankdata(np.concatenate([high, low]))
    above = (ranks[: len(high)] - rankdata(high)) / len(low)  # of each positive: share of negatives below
    below = 1 - (ranks[len(high) :] - rankdata(low)) / len(high)
    value = float(above.mean())
    error = float(np.sqrt(above.var(ddof=1) / len(high) + below.var(ddof=1) / len(low)))
    reach = float(ndtri(0.975)) * error
    return Auc(value, error, (max(value - reach, 0.0), min(value + reach, 1.0)) if error > 0 else None)


def _interval(count: int, n: int, level: float) -> tuple[float, float]:
    """Return the shares of which the count, or one farther out, has (1 - level) / 2; a beta in each tail."""
    tail = (1 - level) / 2
    low = float(betaincinv(count, n - count + 1, tail)) if count > 0 else 0.0
    high = float(betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0
    return low, high


def _larger_p(count: int, n: int, margin: float, centre: float) -> float:
    return max(_at_least(count, n, centre - margin), _at_least(n - count, n, 1 - centre - margin))


def _at_least(count: int, n: int, chance: float) -> float:
    """Return the chance of `count` or more of n."""
    return float(betainc(count, n - count + 1, chance)) if count > 0 else 1.0


def _power(n: int, margin: float) -> float:
    """Return how often a coin is shown equivalent to 50 %: the counts that are, are those in the middle."""
    if _larger_p(n // 2, n, margin, 0.5) > ALPHA:
        return 0.0
    low = next(count for count in range(n // 2 + 1) if _larger_p(count, n, margin, 0.5) <= ALPHA)
    return 1 - 2 * _at_least(n - low + 1, n, 0.5)
