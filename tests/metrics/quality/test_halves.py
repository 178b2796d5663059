"""The floor: halves without a shared case or patient, of one size, and a ratio of 1 for more of the same."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medunet.errors import DataError
from medunet.metrics.quality.frechet import frechet
from medunet.metrics.quality.halves import halves, with_floor


@pytest.mark.parametrize(("real", "synthetic", "size"), [(20, 50, 10), (21, 50, 10), (20, 6, 6)])
def test_halves_are_apart_and_of_one_size(real, synthetic, size) -> None:
    draws = list(halves(real, synthetic, repeats=5))
    assert len({tuple(first) for first, _, _ in draws}) == 5
    for first, second, third in draws:
        assert len(first) == len(second) == len(third) == size
        assert len(set(first) | set(second)) == 2 * size
        assert len(set(third)) == size


def test_no_patient_is_in_both_halves() -> None:
    groups = [f"p{i // 3}" for i in range(30)] + ["big"] * 8
    for first, second, _ in halves(38, 38, groups=groups, repeats=20):
        assert not {groups[i] for i in first} & {groups[i] for i in second}
        assert len(first) >= 10


def test_copies_of_patients_do_not_lower_the_floor() -> None:
    rows = np.repeat(np.random.default_rng(0).normal(size=(10, 3)), 4, axis=0)
    groups = [str(i // 4) for i in range(40)]
    other = np.random.default_rng(1).normal(size=(40, 3))
    assert with_floor(rows, other, frechet, groups=groups).floor > 2 * with_floor(rows, other, frechet).floor


def test_more_of_the_same_is_at_the_floor_and_a_shift_is_above_it() -> None:
    random = np.random.default_rng(2)
    real, same, moved = (random.normal(mean, 1, size=(80, 5)) for mean in (0, 0, 1))
    near, far = (with_floor(real, other, frechet) for other in (same, moved))
    assert near.ratio_ci95 is not None
    assert near.ratio_ci95[0] < 1 < near.ratio_ci95[1]
    assert far.ratio_ci95 is not None
    assert far.ratio_ci95[0] > 2
    assert far.floor == near.floor
    assert far.cases == 40
    assert json.loads(json.dumps(far.as_json()))["ratio_ci95"] == list(far.ratio_ci95)


def test_the_spread_of_halves_is_that_of_the_mean_of_all() -> None:
    # the distance of means: its error is known, sqrt(1/n + 1/m)
    random = np.random.default_rng(3)
    real, other = random.normal(size=(100, 1)), random.normal(5, 1, size=(100, 1))
    found = with_floor(real, other, lambda a, b: float(b.mean() - a.mean()), repeats=400)
    half = 1.96 * np.sqrt(real.var() / 100 + other.var() / 100)
    assert (found.distance_ci95[1] - found.distance_ci95[0]) / 2 == pytest.approx(half, rel=0.15)


@pytest.mark.parametrize("options", [{"groups": ["a"] * 8}, {"groups": ["a", "b"]}])
def test_too_few_or_unnamed_patients_are_refused(options) -> None:
    with pytest.raises(DataError):
        list(halves(8, 8, **options))
