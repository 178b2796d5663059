"""Label adherence: a ratio of means per label, with an interval over cases."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from medunet.metrics.quality.adherence import adherence


def test_ratio_and_counts_per_label() -> None:
    found = adherence(
        {"head": [0.6, 0.8, math.nan], "tail": [0.5, 0.5]}, {"head": [0.8, 0.8], "tail": [0.5, 0.3]}
    )
    assert found["head"].ratio == pytest.approx(0.7 / 0.8)
    assert (found["head"].synthetic_cases, found["head"].real_cases) == (2, 2)
    assert found["tail"].ratio == pytest.approx(1.25)
    assert json.loads(json.dumps(found["tail"].as_json()))["real_dice"] == pytest.approx(0.4)


def test_the_interval_has_the_width_that_theory_gives() -> None:
    random = np.random.default_rng(0)
    synthetic, real = random.normal(0.7, 0.1, 200), random.normal(0.8, 0.05, 100)
    found = adherence({"a": synthetic}, {"a": real})["a"]
    assert found.ci95 is not None
    error = found.ratio * np.hypot(0.1 / 0.7 / np.sqrt(200), 0.05 / 0.8 / np.sqrt(100))
    assert found.ci95[1] - found.ci95[0] == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert found.ci95[0] < 0.875 < found.ci95[1]


@pytest.mark.parametrize(("synthetic", "real"), [([], [0.5, 0.6]), ([0.5], []), ([0.4, 0.5], [0.0, 0.0])])
def test_nothing_to_compare_is_none(synthetic, real) -> None:
    found = adherence({"a": synthetic}, {"a": real})["a"]
    assert found.ratio is None
    assert found.as_json()["ci95"] is None


def test_one_case_has_a_ratio_but_no_interval() -> None:
    found = adherence({"a": [0.4]}, {"a": [0.5, 0.5]})["a"]
    assert found.ratio == pytest.approx(0.8)
    assert found.ci95 is None
