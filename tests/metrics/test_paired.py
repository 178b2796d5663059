"""Paired comparisons: the error that patients and seeds cause, p-values under no effect, Holm."""

from __future__ import annotations

import numpy as np
import pytest

from medunet.errors import DataError
from medunet.metrics import paired
from medunet.metrics.paired import holm, paired_difference


def arms(random, seeds=3, patients=20, *, gain=0.0, of_seed=0.0, noise=0.05):
    """Two arms: patients differ much, the gain differs by patient and seed."""
    ease = random.normal(0.8, 0.2, patients)
    a, b = (ease + noise * random.normal(size=(seeds, patients)) for _ in range(2))
    return a + gain + of_seed * random.normal(size=(seeds, 1)), b


@pytest.fixture
def few_draws(monkeypatch) -> None:
    """Many simulated studies: fewer draws in each."""
    monkeypatch.setattr(paired, "DRAWS", 400)
    monkeypatch.setattr(paired, "CHUNK", 400)


def test_mean_counts_and_order() -> None:
    a, b = np.array([[0.9, 0.7], [0.7, 0.7]]), np.array([[0.5, 0.6], [0.5, 0.6]])
    found = paired_difference(a, b)
    assert found.mean == pytest.approx(0.2)
    assert (found.n_patients, found.n_seeds) == (2, 2)
    assert found.ci95 is not None
    assert found.ci95[0] < 0.2 < found.ci95[1]
    assert paired_difference(b, a).mean == pytest.approx(-0.2)
    assert found.as_json()["ci95"] == list(found.ci95)


def test_pairing_takes_the_difference_between_patients_out() -> None:
    a, b = arms(np.random.default_rng(0), gain=0.03, noise=0.01)
    found = paired_difference(a, b)
    assert found.ci95 is not None
    assert 0 < found.ci95[0] < 0.03 < found.ci95[1] < 0.06
    unpaired = 2 * 1.96 * np.sqrt((a.mean(0).var() + b.mean(0).var()) / 20)
    assert found.ci95[1] - found.ci95[0] < unpaired / 5


def test_one_seed_has_the_error_of_the_t_test() -> None:
    a, b = arms(np.random.default_rng(1), seeds=1, patients=200)
    found = paired_difference(a, b)
    assert found.ci95 is not None
    error = (a - b).std(ddof=1) / np.sqrt(200)
    assert found.ci95[1] - found.ci95[0] == pytest.approx(2 * 1.972 * error, rel=0.06)


@pytest.mark.parametrize("of_seed", [0.0, 0.05])
def test_nineteen_of_twenty_intervals_hold_the_truth_and_few_p_are_small(of_seed, few_draws) -> None:
    random = np.random.default_rng(2)
    found = [paired_difference(*arms(random, of_seed=of_seed)) for _ in range(150)]
    held = np.mean([each.ci95[0] <= 0 <= each.ci95[1] for each in found])
    small = np.mean([each.p_value <= 0.05 for each in found])
    assert (0.85 if of_seed else 0.92) <= held <= 0.995  # three seeds that matter as much as patients: .88
    assert small <= (0.14 if of_seed else 0.08)
    if not of_seed:
        assert small >= 0.005
        assert 0.35 <= np.mean([each.p_value <= 0.5 for each in found]) <= 0.58


def test_seeds_that_pull_all_patients_widen_the_interval() -> None:
    random = np.random.default_rng(3)
    base, b = arms(random, patients=40)
    pulled = base + np.array([[0.06], [0.0], [-0.06]])
    calm, shaken = (paired_difference(a, b) for a in (base, pulled))
    assert calm.mean == pytest.approx(shaken.mean)
    assert calm.ci95 is not None
    assert shaken.ci95 is not None
    assert shaken.ci95[1] - shaken.ci95[0] > 3 * (calm.ci95[1] - calm.ci95[0])


def test_a_true_gain_is_found() -> None:
    found = paired_difference(*arms(np.random.default_rng(4), patients=30, gain=0.05))
    assert found.p_value is not None
    assert found.p_value < 0.001


def test_few_patients_cannot_be_sure() -> None:
    # all three patients gain the same: 2 of 8 ways to flip the signs are as extreme
    found = paired_difference(np.full((1, 3), 0.9), np.full((1, 3), 0.8))
    assert found.p_value == pytest.approx(0.25)
    assert found.ci95 == pytest.approx((0.1, 0.1))
    assert paired_difference(np.ones((2, 9)), np.ones((2, 9))).p_value == 1.0


def test_drawn_sign_flips_agree_with_all_of_them() -> None:
    differences = np.random.default_rng(5).normal(0.3, 1, 13)
    every = paired._sign_flip_p(differences, np.random.default_rng(0))
    # a fourteenth patient without a difference changes no sum, but is too many to try all ways
    drawn = paired._sign_flip_p(np.append(differences, 0.0), np.random.default_rng(0))
    assert drawn == pytest.approx(every, abs=0.02)


def test_patients_without_a_value_are_left_out() -> None:
    a, b = arms(np.random.default_rng(6))
    a[1, 3] = b[0, 7] = np.nan
    kept = [p for p in range(20) if p not in (3, 7)]
    assert paired_difference(a, b) == paired_difference(a[:, kept], b[:, kept])


@pytest.mark.parametrize("patients", [0, 1])
def test_without_two_patients_there_is_no_interval(patients) -> None:
    found = paired_difference(np.ones((2, patients)), np.zeros((2, patients)))
    assert (found.ci95, found.p_value, found.n_patients) == (None, None, patients)
    assert found.mean == (1.0 if patients else None)


def test_arms_of_different_shape_are_refused() -> None:
    with pytest.raises(DataError, match="Score both on the same"):
        paired_difference.__wrapped__(np.ones((2, 3)), np.ones((3, 3)))


def test_holm_by_hand() -> None:
    # sorted .005 .01 .03 .04 times 4 3 2 1: .02 .03 .06 .04, and never below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.6]) == (1.0, 1.0)
    assert holm([]) == ()
    assert holm([0.2]) == (0.2,)


def test_holm_rejects_what_the_steps_reject() -> None:
    random = np.random.default_rng(7)
    for _ in range(50):
        p = random.random(6) ** 3
        rejected = set()
        for step, which in enumerate(np.argsort(p)):
            if p[which] > 0.05 / (6 - step):
                break
            rejected.add(which)
        assert {i for i, adjusted in enumerate(holm(p.tolist())) if adjusted <= 0.05} == rejected


@pytest.mark.parametrize("values", [[0.1, np.nan], [1.2], [-0.1]])
def test_holm_refuses_what_is_no_p_value(values) -> None:
    with pytest.raises(DataError, match="p-values"):
        holm(values)
