"""Kappa against published tables, sklearn and a sum over pairs of answers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from medunet.errors import DataError
from medunet.review.kappa import cohen, fleiss

FLEISS_1971_LIKE = [  # 10 subjects, 14 raters, 5 categories: the worked example on Wikipedia, "Fleiss' kappa"
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
]  # fmt: skip


def test_fleiss_of_a_published_table() -> None:
    rows = [[category for category, n in enumerate(row) for _ in range(n)] for row in FLEISS_1971_LIKE]
    found = fleiss(rows)
    assert found.value == pytest.approx(0.210, abs=5e-4)
    assert found.observed == pytest.approx(0.378, abs=5e-4)
    assert (found.n, found.readers) == (10, 14)
    assert found.ci95 is not None
    assert 0 < found.ci95[0] < 0.21 < found.ci95[1] < 0.45


def test_cohen_of_a_published_table() -> None:
    """50 proposals, 20 yes-yes, 5 yes-no, 10 no-yes, 15 no-no: 0.4 (Wikipedia, "Cohen's kappa")."""
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    found = cohen(first, second)
    assert found.value == pytest.approx(0.4)
    assert found.observed == pytest.approx(0.7)
    assert found.ci95 is not None  # Fleiss, Cohen and Everitt 1969: error 0.128 at large n
    assert found.ci95 == pytest.approx((0.4 - 1.96 * 0.128, 0.4 + 1.96 * 0.128), abs=0.04)


def test_cohen_is_that_of_sklearn_with_three_verdicts() -> None:
    random = np.random.default_rng(0)
    first = random.choice(["accepted", "rejected", "needs_edit"], 60).tolist()
    second = [a if random.random() < 0.6 else "rejected" for a in first]
    assert cohen(first, second).value == pytest.approx(cohen_kappa_score(first, second))


def test_fleiss_with_answers_that_are_missing_compares_the_pairs_that_are_there() -> None:
    rows = [["a", "a", None], ["a", "b", "b"], ["b", None, "b"], [None, "a", None], ["a", "a", "a"]]
    kept = [[one for one in row if one] for row in rows if sum(bool(one) for one in row) > 1]
    observed = np.mean([np.mean([x == y for x, y in combinations(row, 2)]) for row in kept])
    shares = [np.mean([row.count(letter) / len(row) for row in kept]) for letter in "ab"]
    expected = sum(one**2 for one in shares)
    found = fleiss(rows)
    assert found.value == pytest.approx((observed - expected) / (1 - expected))
    assert found.n == 4


def test_cases_of_one_patient_are_drawn_together() -> None:
    """Ten copies of each case say nothing new: the interval is as wide as that of one copy."""
    random = np.random.default_rng(1)
    first = random.choice(["a", "b"], 30).tolist()
    second = [a if random.random() < 0.7 else "b" for a in first]
    patients = [str(n) for n in range(30)]
    alone = cohen(first, second, patients)
    copied = cohen(first * 10, second * 10, patients * 10)
    blind = cohen(first * 10, second * 10)
    assert copied.value == pytest.approx(alone.value)
    assert copied.ci95 == pytest.approx(alone.ci95)
    assert blind.ci95 is not None
    assert alone.ci95 is not None
    assert blind.ci95[1] - blind.ci95[0] < (alone.ci95[1] - alone.ci95[0]) / 2


@pytest.mark.parametrize("kind", [lambda rows: cohen(*zip(*rows, strict=True)), fleiss])
def test_no_kappa_where_nothing_was_told_apart_and_no_interval_of_perfection(kind) -> None:
    same = kind([("a", "a")] * 5)
    assert (same.value, same.ci95, same.observed) == (None, None, 1.0)
    perfect = kind([("a", "a"), ("b", "b")] * 5)
    assert (perfect.value, perfect.ci95) == (1.0, None)
    assert kind([("a", "b")]).ci95 is None


def test_nothing_read_is_nothing_told_and_unequal_lists_are_refused() -> None:
    assert fleiss([["a", None]]).as_json()["n"] == 0
    assert cohen([], []).value is None
    with pytest.raises(DataError, match="2 and 1"):
        cohen(["a", "b"], ["a"])
