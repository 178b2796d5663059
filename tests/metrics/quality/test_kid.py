"""The kernel distance against MONAI, against its definition, and about 0 for two samples of one kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import MMDMetric

from medunet.errors import DataError
from medunet.metrics.quality.kid import kid, polynomial_mmd


def samples(n, m, shift=0.0, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, 6)), random.normal(shift, 1, size=(m, 6))


def test_with_a_linear_kernel_it_is_that_of_monai() -> None:
    real, synthetic = samples(12, 12, 0.5)
    found = polynomial_mmd(real, synthetic, degree=1, gamma=1.0, offset=0.0)
    theirs = MMDMetric()(torch.as_tensor(real), torch.as_tensor(synthetic))
    assert found == pytest.approx(float(theirs))


def test_the_cubic_kernel_by_its_definition() -> None:
    real, synthetic = samples(5, 7, 0.5)

    def kernel(a, b):
        return (a @ b / 6 + 1) ** 3

    def inside(rows):
        return np.mean([kernel(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j])

    across = np.mean([kernel(a, b) for a in real for b in synthetic])
    assert polynomial_mmd(real, synthetic) == pytest.approx(inside(real) + inside(synthetic) - 2 * across)


def test_it_is_unbiased_for_few_cases() -> None:
    found = [polynomial_mmd(*samples(6, 9, seed=seed)) for seed in range(300)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(300)


def test_the_interval_holds_0_for_more_of_the_same_and_not_for_a_shift() -> None:
    near, far = kid(*samples(80, 60)), kid(*samples(80, 60, 0.7))
    assert near.ci95[0] < 0 < near.ci95[1]
    assert far.ci95[0] > near.ci95[1]
    assert near.subset_cases == 30
    assert far.as_json()["ci95"] == list(far.ci95)


def test_three_cases_are_too_few() -> None:
    with pytest.raises(DataError, match="3 synthetic"):
        kid(*samples(10, 3))
