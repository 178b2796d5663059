"""Precision, recall, density and coverage: a case by hand, and what collapse and bad images do."""

from __future__ import annotations

import numpy as np
import pytest

from medunet.errors import DataError
from medunet.metrics.quality.prdc import prdc
from medunet.metrics.quality.radiomics import standardised, table


def test_a_line_by_hand() -> None:
    # one neighbour. Real 0 1 3: balls of radius 1 1 2. Synthetic 0.5, 0.6, 10: radii 0.1, 0.1, 9.4
    real, synthetic = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [0.6], [10.0]])
    found = prdc(real, synthetic, neighbours=1)
    assert found.precision == pytest.approx(2 / 3)  # 10 lies in no real ball
    assert found.recall == pytest.approx(2 / 3)  # 1 and 3 lie in the ball of 10 (0.6 to 19.4), 0 in none
    assert found.density == pytest.approx((2 + 2 + 0) / 3)  # real balls around 0.5 and 0.6: those of 0 and 1
    assert found.coverage == pytest.approx(2 / 3)  # the ball of 3 begins at 1


def test_two_samples_of_one_kind() -> None:
    random = np.random.default_rng(0)
    found = prdc(random.normal(size=(300, 3)), random.normal(size=(300, 3)))
    assert found.density == pytest.approx(1, abs=0.1)
    assert found.coverage == pytest.approx(1 - 0.5**5, abs=0.03)  # Naeem et al. 2020, equation 9
    assert min(found.precision, found.recall) > 0.9


def test_collapse_lowers_recall_and_coverage_but_not_precision(of_real, of_good, collapsed) -> None:
    rows = standardised(of_real[None], of_good[None], table(*collapsed, [None])[None])
    whole, narrow = (prdc(rows[0], other) for other in rows[1:])
    assert narrow.recall < 0.3 * whole.recall
    assert narrow.coverage < 0.7 * whole.coverage
    assert narrow.precision > 0.6


def test_bad_images_lower_density_and_coverage(of_real, of_good, of_bad) -> None:
    rows = standardised(of_real[None], of_good[None], of_bad[None])
    near, far = (prdc(rows[0], other) for other in rows[1:])
    assert far.density < 0.7 * near.density
    assert far.coverage < 0.8 * near.coverage


def test_too_few_cases_are_refused() -> None:
    with pytest.raises(DataError, match="5 real cases"):
        prdc(np.zeros((5, 2)), np.zeros((9, 2)))
