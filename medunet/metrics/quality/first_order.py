"""First-order features: what the histogram of a region says, whatever its texture."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

Array = NDArray[Any]

NAMES = (
    "minimum", "p10", "p25", "median", "p75", "p90", "maximum", "mean", "interquartile_range", "range",
    "mean_deviation", "robust_mean_deviation", "root_mean_square", "deviation", "skewness", "kurtosis",
    "entropy", "uniformity",
)  # fmt: skip


def first_order(values: Float[Array, "b n"], levels: Int[Array, "b n"], bins: int) -> Float[Array, "b 18"]:
    """Return 18 first-order features of the voxels of a region, per band.

    Definitions as in IBSI (arXiv 1612.07003, section 3.3), but for the two energies: they grow with the
    region, so they would measure the mask. Entropy (bits) and uniformity are of the `bins` levels; a region
    of one value has skewness and kurtosis 0.
    """
    low, p10, p25, middle, p75, p90, high = np.percentile(values, [0, 10, 25, 50, 75, 90, 100], axis=1)
    mean = values.mean(axis=1)
    centred = values - mean[:, None]
    squared = centred**2
    deviation = np.sqrt(squared.mean(axis=1))
    unit = np.where(deviation > 0, deviation, 1.0)
    share = _shares(levels, bins)
    return np.stack(
        [
            low, p10, p25, middle, p75, p90, high, mean, p75 - p25, high - low,
            np.abs(centred).mean(axis=1),
            _robust_mean_deviation(values, p10, p90),
            np.sqrt((values**2).mean(axis=1)),
            deviation,
            (squared * centred).mean(axis=1) / unit**3,
            (squared * squared).mean(axis=1) / unit**4,
            -(share * np.log2(np.where(share > 0, share, 1.0))).sum(axis=1),
            (share**2).sum(axis=1),
        ],
        axis=1,
    )  # fmt: skip


def _robust_mean_deviation(values: Array, low: Array, high: Array) -> Array:
    """Return the mean absolute deviation of the voxels between the 10th and the 90th percentile."""
    kept = (values >= low[:, None]) & (values <= high[:, None])
    number = np.maximum(kept.sum(axis=1), 1)
    mean = np.where(kept, values, 0.0).sum(axis=1) / number
    return np.where(kept, np.abs(values - mean[:, None]), 0.0).sum(axis=1) / number


def _shares(levels: Array, bins: int) -> Array:
    """Return the share of each level, per band."""
    count = len(levels)
    codes = levels + bins * np.arange(count)[:, None]
    return np.bincount(codes.ravel(), minlength=count * bins).reshape(count, bins) / levels.shape[1]
