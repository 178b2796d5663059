"""Exact intervals, equivalence and the area under the curve, against published and independent values."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medunet.errors import ConfigError, DataError
from medunet.review.exact import answers_needed, auc, equivalence, share


def tail(n: int, share: float, counts) -> float:
    """The chance of these counts, summed term by term."""
    return sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in counts)


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [  # Newcombe, Statistics in Medicine 1998;17:857, table I, row 5 (Clopper-Pearson)
        (81, 263, 0.2527, 0.3676),
        (15, 148, 0.0578, 0.1617),
        (0, 20, 0.0000, 0.1684),
        (1, 29, 0.0009, 0.1776),
    ],
)
def test_the_interval_of_a_share_is_the_published_one(count, n, low, high) -> None:
    found = share(count, n)
    assert found.ci95 == pytest.approx((low, high), abs=5e-5)
    assert found.value == count / n


@pytest.mark.parametrize(("count", "n"), [(3, 10), (60, 100), (10, 10)])
def test_beyond_the_edges_of_the_interval_the_count_has_two_and_a_half_percent(count, n) -> None:
    low, high = share(count, n).ci95 or (0, 0)
    assert tail(n, low, range(count, n + 1)) == pytest.approx(0.025, abs=1e-9)
    if count < n:
        assert tail(n, high, range(count + 1)) == pytest.approx(0.025, abs=1e-9)
    else:
        assert high == 1


def test_no_answers_have_no_share_and_more_than_all_is_refused() -> None:
    assert share(0, 0).as_json() == {"count": 0, "n": 0, "value": None, "ci95": None}
    with pytest.raises(DataError, match="5 of 4"):
        share(5, 4)


@pytest.mark.parametrize(("count", "n", "margin"), [(50, 100, 0.1), (130, 250, 0.1), (160, 300, 0.15)])
def test_p_is_the_larger_of_two_tails_summed_by_hand(count, n, margin) -> None:
    found = equivalence(count, n, margin)
    above = tail(n, 0.5 - margin, range(count, n + 1))
    below = tail(n, 0.5 + margin, range(count + 1))
    assert found.p_value == pytest.approx(max(above, below), rel=1e-9)


def test_equivalence_is_the_ninety_percent_interval_inside_the_margin() -> None:
    said = {True: 0, False: 0}
    for count in range(100, 151):
        found = equivalence(count, 250, 0.1)
        assert found.ci90 is not None
        assert found.equivalent == (found.ci90[0] > 0.4 and found.ci90[1] < 0.6)
        assert found.reachable
        said[found.equivalent] += 1
    assert said[True] > 5
    assert said[False] > 5


def test_not_different_is_not_the_same() -> None:
    """20 of 40 does not differ from guessing at all, and shows nothing at a margin of 10 points."""
    found = equivalence(20, 40, 0.1)
    assert not found.equivalent
    assert not found.reachable
    assert found.p_value == pytest.approx(tail(40, 0.4, range(20, 41)))
    assert equivalence(0, 0, 0.1).p_value is None


@pytest.mark.parametrize("margin", [0.0, 0.5, -0.1, float("nan")])
def test_a_margin_that_leaves_nothing_to_test_is_refused(margin) -> None:
    with pytest.raises(ConfigError, match="margin"):
        equivalence(20, 40, margin)


def test_the_number_of_answers_needed_has_the_power_and_two_fewer_have_not() -> None:
    def power(n: int) -> float:
        return tail(n, 0.5, [k for k in range(n + 1) if equivalence(k, n, 0.15).equivalent])

    needed = answers_needed(0.15)
    assert power(needed) >= 0.8 > power(needed - 2)


HANLEY = {  # Hanley and McNeil, Radiology 1982;143:29, table I: CT ratings 1 to 5 of 58 normals, 51 abnormals
    "normal": (33, 6, 6, 11, 2),
    "abnormal": (3, 2, 2, 11, 33),
}


def test_the_area_under_the_curve_of_a_published_study() -> None:
    """The area and error that Stata's manual prints for these data (roctab, DeLong): .8932, .0307."""
    normal, abnormal = (np.repeat(np.arange(1, 6), HANLEY[kind]) for kind in ("normal", "abnormal"))
    found = auc(abnormal, normal)
    assert found is not None
    assert found.value == pytest.approx(0.8932, abs=5e-5)
    assert found.error == pytest.approx(0.0307, abs=5e-5)
    assert found.ci95 == pytest.approx((0.83295, 0.95339), abs=2e-5)


@pytest.mark.parametrize("levels", [3, 1000])
def test_the_area_is_that_of_sklearn_and_its_error_that_of_pairs_compared_one_by_one(levels) -> None:
    random = np.random.default_rng(levels)
    positive, negative = random.integers(0, levels, 17) + levels // 4, random.integers(0, levels, 23)
    truth = np.repeat([1, 0], [17, 23])
    found = auc(positive, negative)
    assert found is not None
    assert found.value == pytest.approx(roc_auc_score(truth, np.concatenate([positive, negative])))
    wins = np.array([[(p > n) + (p == n) / 2 for n in negative] for p in positive])
    variance = wins.mean(1).var(ddof=1) / 17 + wins.mean(0).var(ddof=1) / 23
    assert found.error == pytest.approx(np.sqrt(variance))


def test_an_area_without_an_honest_interval_has_none() -> None:
    found = auc([4, 5, 5], [1, 2, 3])
    assert found is not None
    assert (found.value, found.ci95) == (1.0, None)
    assert auc([4], [1, 2, 3]) is None
