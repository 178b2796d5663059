"""First-order features against numpy, SciPy and a histogram by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medunet.metrics.quality.first_order import NAMES, first_order


def test_the_features_of_drawn_values() -> None:
    x = np.random.default_rng(0).gamma(2.0, size=500)
    levels = np.digitize(x, [1, 2, 3])
    found = dict(zip(NAMES, first_order(x[None], levels[None], 4)[0], strict=True))
    middle = x[(x >= np.percentile(x, 10)) & (x <= np.percentile(x, 90))]
    share = np.bincount(levels, minlength=4) / 500
    expected = {
        "minimum": x.min(), "maximum": x.max(), "range": np.ptp(x), "mean": x.mean(), "median": np.median(x),
        "p10": np.percentile(x, 10), "p25": np.percentile(x, 25), "p75": np.percentile(x, 75),
        "p90": np.percentile(x, 90), "interquartile_range": stats.iqr(x),
        "mean_deviation": np.abs(x - x.mean()).mean(),
        "robust_mean_deviation": np.abs(middle - middle.mean()).mean(),
        "root_mean_square": np.sqrt(np.mean(x**2)), "deviation": x.std(),
        "skewness": stats.skew(x), "kurtosis": stats.kurtosis(x, fisher=False),
        "entropy": stats.entropy(share, base=2), "uniformity": np.sum(share**2),
    }  # fmt: skip
    assert found == pytest.approx(expected)


def test_bands_do_not_mix() -> None:
    random = np.random.default_rng(1)
    values, levels = random.normal(size=(3, 60)), random.integers(0, 4, (3, 60))
    together = first_order(values, levels, 4)
    alone = [first_order(values[i : i + 1], levels[i : i + 1], 4)[0] for i in range(3)]
    assert together == pytest.approx(np.stack(alone))


def test_one_value_has_no_shape() -> None:
    found = dict(zip(NAMES, first_order(np.full((1, 5), 2.0), np.zeros((1, 5), int), 4)[0], strict=True))
    assert (found["skewness"], found["kurtosis"], found["entropy"], found["uniformity"]) == (0, 0, 0, 1)
