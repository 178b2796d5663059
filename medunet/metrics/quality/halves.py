"""The yardstick of every distance: how far apart are two halves of the real set?

A distance of two sets depends on their sizes, so real to synthetic is measured at the very size of the
halves. Halves are drawn again and again without replacement; the spread over such draws of half of the
cases equals, to first order, the spread that a bootstrap of all cases gives (the delete-half jackknife),
and no case is there twice, which would look like memorisation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from medunet.errors import DataError

Array = NDArray[Any]
Distance = Callable[[Array, Array], float]

REPEATS = 20
FEWEST = 4  # cases: two halves of two


@dataclass(frozen=True)
class Floored:
    """A distance of real and synthetic beside that of two halves of the real set, all of `cases` cases.

    ratio: distance / floor; None where the floor is not above 0. Intervals: 2.5 to 97.5 % over the draws.
    """

    distance: float
    distance_ci95: tuple[float, float]
    floor: float
    floor_ci95: tuple[float, float]
    ratio: float | None
    ratio_ci95: tuple[float, float] | None
    cases: int

    def as_json(self) -> dict[str, Any]:
        """Return plain values; intervals become lists."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}


def with_floor(
    real: Float[Array, "n f"],
    synthetic: Float[Array, "m f"],
    distance: Distance,
    *,
    groups: Sequence[str] | None = None,
    repeats: int = REPEATS,
    seed: int = 0,
) -> Floored:
    """Return a distance of two feature tables with its real-to-real floor.

    groups: the patient of each real case; a patient lies in one half only. Raises DataError where there
    are too few cases for two halves.
    """
    draws = list(halves(len(real), len(synthetic), groups=groups, repeats=repeats, seed=seed))
    floors = np.array([distance(real[first], real[second]) for first, second, _ in draws])
    found = np.array([distance(real[first], synthetic[third]) for first, _, third in draws])
    floor, value = float(floors.mean()), float(found.mean())
    ratio = value / floor if floor > 0 else None
    # the draws share their cases, so each draw is held against the mean of the floors
    ratio_ci95 = None if ratio is None else _interval(found / floor)
    return Floored(value, _interval(found), floor, _interval(floors), ratio, ratio_ci95, len(draws[0][0]))


def halves(
    real: int, synthetic: int, *, groups: Sequence[str] | None = None, repeats: int = REPEATS, seed: int = 0
) -> Iterator[tuple[Int[Array, " k"], Int[Array, " k"], Int[Array, " k"]]]:
    """Yield indices of a half of the real cases, of the other half, and of as many synthetic cases.

    groups: the patient of each real case; no patient is in both halves. The size k is the same in all draws.
    """
    who = np.arange(real) if groups is None else np.unique(np.asarray(groups, str), return_inverse=True)[1]
    if len(who) != real:
        raise DataError(f"{len(who)} patients named for {real} real cases. Name the patient of each case.")
    random = np.random.default_rng(seed)
    drawn = [_halved(who, random) for _ in range(repeats)]
    size = min(synthetic, *(len(half) for pair in drawn for half in pair))
    if size < FEWEST // 2:
        raise DataError(
            f"{real} real cases of {len(set(who.tolist()))} patients and {synthetic} synthetic cases give "
            f"halves of {size}, expected at least {FEWEST // 2}. Give more cases."
        )
    for first, second in drawn:
        yield first[:size], second[:size], random.permutation(synthetic)[:size]


def _halved(who: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """Return the shuffled cases of two sets of patients, each set with about half of the cases."""
    order = random.permutation(who.max() + 1)
    size = np.bincount(who)[order]
    before = np.cumsum(size) - size / 2  # where the middle of each patient's cases comes to lie
    inside = np.isin(who, order[before <= len(who) / 2])
    return random.permutation(np.flatnonzero(inside)), random.permutation(np.flatnonzero(~inside))


def _interval(values: Array) -> tuple[float, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
