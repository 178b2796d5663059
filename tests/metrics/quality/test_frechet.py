"""The Frechet distance of Gaussians in closed form, against SciPy's matrix root, and of drawn samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from medunet.errors import DataError
from medunet.metrics.quality.frechet import frechet, gaussian_frechet


def test_diagonal_covariances_in_closed_form() -> None:
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
    found = gaussian_frechet(np.zeros(3), np.diag(a), np.array([1.0, 0, 2]), np.diag(b))
    assert found == pytest.approx(5 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum())


def test_full_covariances_against_the_matrix_root() -> None:
    random = np.random.default_rng(0)
    s, t = (np.cov(random.normal(size=(30, 6)) @ random.normal(size=(6, 6)), rowvar=False) for _ in range(2))
    expected = np.trace(s + t - 2 * np.real(sqrtm(s @ t)))
    assert gaussian_frechet(np.zeros(6), s, np.zeros(6), t) == pytest.approx(expected)


def test_a_singular_covariance_is_no_exception() -> None:
    flat = np.diag([1.0, 0.0])
    assert gaussian_frechet(np.zeros(2), flat, np.zeros(2), flat) == pytest.approx(0, abs=1e-9)
    assert gaussian_frechet(np.zeros(2), flat, np.zeros(2), np.diag([0.0, 1.0])) == pytest.approx(2)


@pytest.mark.parametrize("covariance", ["ledoit_wolf", "sample"])
def test_many_samples_give_the_closed_form(covariance) -> None:
    random = np.random.default_rng(1)
    first, second = random.normal(size=(4000, 3)), random.normal(1.0, 3.0, size=(4000, 3))
    assert frechet(first, second, covariance=covariance) == pytest.approx(3 * 1 + 3 * 2**2, rel=0.05)


def test_shrinkage_lowers_the_floor_where_features_outnumber_cases() -> None:
    random = np.random.default_rng(2)
    halves = random.normal(size=(20, 80)), random.normal(size=(20, 80))
    assert frechet(*halves) < 0.5 * frechet(*halves, covariance="sample")


def test_one_case_has_no_covariance() -> None:
    with pytest.raises(DataError, match="1 synthetic cases"):
        frechet(np.zeros((5, 2)), np.zeros((1, 2)))
