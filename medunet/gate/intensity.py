"""Are the intensities of each label those of real cases? Robust z-scores of a few statistics per label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medunet.config.samples import Check

STATISTICS = ("median", "interquartile range", "skewness", "distance of distributions", "share out of range")
LEAST_VOXELS = 20  # of a label, for statistics
QUANTILES = np.linspace(0.005, 0.995, 100)
MAD = 1.4826
SPAN = 4.652  # sigmas between the 1st and 99th percentile of a normal distribution
SMALLEST = (0.02, 0.02, 0.1, 0.02, 0.005)  # scales: a difference below is none, however alike the real are


@dataclass(frozen=True)
class Intensities:
    """Real intensities; rows are labels (0: background) and channels."""

    quantiles: NDArray[np.float64]  # (labels, channels, 100) of all real pieces together
    centre: NDArray[np.float64]  # (labels, channels, statistics)
    scale: NDArray[np.float64]

    @classmethod
    def of(
        cls, images: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.uint8]], labels: int
    ) -> Intensities:
        """Learn from real images (C, X, Y[, Z]) and masks with network outputs below `labels`."""
        of_each = [_quantiles(image, mask, labels) for image, mask in zip(images, masks, strict=True)]
        pooled = _nan_median(np.stack(of_each))
        found = [_statistics(image, mask, pooled) for image, mask in zip(images, masks, strict=True)]
        table = np.stack(found)
        centre = _nan_median(table)
        spread = _nan_percentile(table, 99) - _nan_percentile(table, 1)
        # a mixture, as of two stains, has a small MAD around its larger part: its span counts too
        scale = np.fmax(MAD * _nan_median(np.abs(table - centre)), spread / SPAN)
        return cls(pooled, centre, np.fmax(scale, SMALLEST))

    def check(
        self, image: NDArray[np.float32], mask: NDArray[np.uint8], names: Sequence[str], limit: float
    ) -> Check:
        """Return the check of one image (C, X, Y[, Z]); a label that no real piece has is not compared."""
        z = (_statistics(image, mask, self.quantiles) - self.centre) / self.scale
        # nearer to the real ones than they are to each other is no fault; NaN stays
        z[..., 3:] = np.maximum(z[..., 3:], 0)
        if np.isnan(z).all():
            return Check(name="intensity", passed=True, number=None, limit=limit, reason="nothing to compare")
        label, channel, statistic = np.unravel_index(np.nanargmax(np.abs(z)), z.shape)
        worst = float(np.abs(z[label, channel, statistic]))
        where = f"{['background', *names][label]}, channel {channel}: {STATISTICS[statistic]}"
        reason = f"{where} is {z[label, channel, statistic]:+.1f} sigma from that of real cases"
        return Check(
            name="intensity", passed=worst <= limit, number=round(worst, 4), limit=limit, reason=reason
        )


def _statistics(
    image: NDArray[np.float32], mask: NDArray[np.uint8], pooled: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (labels, channels, statistics); NaN where a label has too few voxels."""
    labels, channels = pooled.shape[:2]
    out = np.full((labels, channels, len(STATISTICS)), np.nan)
    for label in range(labels):
        inside = mask == label
        for channel in range(channels if inside.sum() >= LEAST_VOXELS else 0):
            values = np.sort(image[channel][inside])
            low, median, high = np.quantile(values, (0.25, 0.5, 0.75))
            known = pooled[label, channel]
            spread = max(float(values.std()), 1e-6)
            skew = float((((values - values.mean()) / spread) ** 3).mean())
            below = np.searchsorted(values, known, side="right") / len(values)
            outside = np.mean((values < known[0]) | (values > known[-1]))
            distance = np.abs(below - QUANTILES).max()
            out[label, channel] = median, high - low, skew, distance, outside
    return out


def _quantiles(image: NDArray[np.float32], mask: NDArray[np.uint8], labels: int) -> NDArray[np.float64]:
    out = np.full((labels, len(image), len(QUANTILES)), np.nan)
    for label in range(labels):
        inside = mask == label
        if inside.sum() >= LEAST_VOXELS:
            out[label] = np.quantile(image[:, inside], QUANTILES, axis=1).T
    return out


def _nan_median(table: NDArray[np.float64]) -> NDArray[np.float64]:
    return _nan_percentile(table, 50)


def _nan_percentile(table: NDArray[np.float64], percentile: float) -> NDArray[np.float64]:
    """Return the percentile over the first axis; NaN, without a warning, where there is no number."""
    known = ~np.isnan(table).all(0)
    out = np.full(table.shape[1:], np.nan)
    out[known] = np.nanpercentile(table[:, known], percentile, axis=0)
    return out
