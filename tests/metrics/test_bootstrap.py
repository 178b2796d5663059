"""Intervals: over patients, seeded, of known width, and none where there is nothing to resample."""

from __future__ import annotations

import math

import numpy as np
import pytest

from medunet.metrics.bootstrap import interval_of_mean, summarise


def test_mean_median_and_counts() -> None:
    found = summarise([0.2, 0.4, 0.9, math.nan], ["a", "a", "b", "c"])
    assert found.mean == pytest.approx(0.5)
    assert found.median == pytest.approx(0.4)
    assert (found.n, found.patients) == (3, 2)


def test_the_interval_has_the_width_that_theory_gives() -> None:
    values = np.random.default_rng(1).normal(10.0, 2.0, 400)
    found = summarise(values.tolist(), [str(i) for i in range(400)])
    assert found.ci95 is not None
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.ci95[0] == pytest.approx(values.mean() - half, abs=0.03)
    assert found.ci95[1] == pytest.approx(values.mean() + half, abs=0.03)


def test_cases_of_one_patient_do_not_make_the_interval_narrower() -> None:
    # ten patients, every case copied twenty times: nothing new is known about patients
    base = np.random.default_rng(2).normal(0.8, 0.1, 10)
    once = summarise(base.tolist(), [str(i) for i in range(10)])
    copied = summarise(np.repeat(base, 20).tolist(), [str(i) for i in range(10) for _ in range(20)])
    as_if_independent = summarise(np.repeat(base, 20).tolist(), [str(i) for i in range(200)])
    assert once.ci95 == pytest.approx(copied.ci95)
    width = [s.ci95[1] - s.ci95[0] for s in (copied, as_if_independent) if s.ci95]
    assert width[0] > 3 * width[1]


def test_patients_with_more_cases_weigh_more() -> None:
    # patient a: nine cases of 1; patient b: one case of 0. Draws: aa, ab, ba, bb
    found = summarise([1.0] * 9 + [0.0], ["a"] * 9 + ["b"])
    assert found.mean == pytest.approx(0.9)
    assert found.ci95 == (0.0, 1.0)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.7, 0.9]])
def test_one_patient_has_no_interval(values: list[float]) -> None:
    found = summarise(values, ["only"] * len(values))
    assert found.ci95 is None
    assert found.as_json()["ci95"] is None
    assert found.mean is not None


def test_a_second_patient_without_a_value_gives_no_interval() -> None:
    assert summarise([0.5, math.nan], ["a", "b"]).ci95 is None


@pytest.mark.parametrize("values", [[], [math.nan, math.nan]])
def test_nothing_to_score_is_null_and_not_nan(values: list[float]) -> None:
    found = summarise(values, ["a"] * len(values)).as_json()
    assert found == {"mean": None, "median": None, "ci95": None, "n": 0, "patients": 0}


def test_the_same_seed_gives_the_same_interval_and_order_does_not_matter() -> None:
    values, patients = [0.1, 0.5, 0.6, 0.9], ["d", "c", "b", "a"]
    first = summarise(values, patients, seed=3).ci95
    assert first == summarise(values, patients, seed=3).ci95
    assert first == pytest.approx(summarise(values[::-1], patients[::-1], seed=3).ci95)
    assert summarise(values, patients, seed=4).ci95 is not None


def test_the_interval_over_labels_is_of_their_mean() -> None:
    # a label's errors cancel the other's in every patient: the mean over labels is the same in every draw
    table = np.array([[0.1, 0.9], [0.4, 0.6], [0.8, 0.2]])
    assert interval_of_mean(table, ["a", "b", "c"]) == pytest.approx((0.5, 0.5))
