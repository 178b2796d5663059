"""What a network has to beat: thresholds, given a fair chance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

BINS = 256
WINDOW_SHARES = (0.02, 0.05, 0.1, 0.2, 0.3)  # of a label's values that a window may leave out at each end
SMOOTHING_MM = 3.0  # standard deviation of the filter before the windows
LARGEST_SAMPLE = 200_000  # values per case and label: the windows are quantiles


def otsu(image: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return 1 where an image (C, X, Y[, Z]) is above the threshold that best parts its grey values in two.

    Channels are averaged. Otsu 1979, eq. 18: the variance between the two classes is largest.
    """
    grey = np.asarray(image, np.float64).mean(0)
    counts, edges = np.histogram(grey, BINS)
    middles = (edges[:-1] + edges[1:]) / 2
    below, above = np.cumsum(counts)[:-1], counts.sum() - np.cumsum(counts)[:-1]
    sums = np.cumsum(counts * middles)[:-1]
    total = float((counts * middles).sum())
    gap = sums / np.maximum(below, 1) - (total - sums) / np.maximum(above, 1)
    best = int(np.argmax(below * above * gap**2))
    return (grey > edges[best + 1]).astype(np.uint8)


@dataclass(frozen=True)
class Windows:
    """An intensity window per label; of each label the largest connected piece is kept."""

    ranges: Mapping[int, tuple[float, float]]  # label -> lowest and highest value of the smoothed image

    def __call__(self, image: NDArray[np.floating[Any]], spacing_mm: Sequence[float]) -> NDArray[np.uint8]:
        """Return the mask (X, Y[, Z]) of an image (C, X, Y[, Z]); the narrowest window wins."""
        smooth = _smooth(image, spacing_mm)
        out = np.zeros(smooth.shape, np.uint8)
        widths = {label: high - low for label, (low, high) in self.ranges.items()}
        for label in sorted(widths, key=lambda label: -widths[label]):
            low, high = self.ranges[label]
            piece = _largest(ndimage.binary_opening((smooth >= low) & (smooth <= high)))
            out[piece] = label
        return out


def learn_windows(
    cases: Iterable[tuple[NDArray[Any], NDArray[Any], Sequence[float]]], labels: Sequence[int]
) -> Windows:
    """Return the windows of best mean Dice on training cases: (image (C, ...), mask, spacing in mm).

    Each label tries several quantile ranges of its own values, with the same clean-up as in use.
    """
    known = [(_smooth(image, spacing), np.asarray(mask)) for image, mask, spacing in cases]
    ranges = {}
    for label in labels:
        values = np.concatenate([_some(smooth[mask == label]) for smooth, mask in known])
        if values.size == 0:
            continue
        trials = [tuple(np.quantile(values, (share, 1 - share))) for share in WINDOW_SHARES]
        scores = [
            np.mean([_dice(smooth, mask == label, *trial) for smooth, mask in known]) for trial in trials
        ]
        low, high = trials[int(np.argmax(scores))]
        ranges[label] = (float(low), float(high))
    return Windows(ranges)


def _smooth(image: NDArray[Any], spacing_mm: Sequence[float]) -> NDArray[np.float32]:
    grey = np.asarray(image, np.float32).mean(0)
    return np.asarray(ndimage.gaussian_filter(grey, [SMOOTHING_MM / edge for edge in spacing_mm]), np.float32)


def _some(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values[:: max(1, values.size // LARGEST_SAMPLE)]


def _largest(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, count = ndimage.label(inside)
    if count == 0:
        return inside
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray(parts == int(np.argmax(sizes)))


def _dice(smooth: NDArray[np.float32], truth: NDArray[np.bool_], low: float, high: float) -> float:
    found = _largest(ndimage.binary_opening((smooth >= low) & (smooth <= high)))
    return float(2 * (found & truth).sum() / max(1, found.sum() + truth.sum()))
