"""Texture features of a region: grey-level co-occurrence (GLCM) and neighbourhood difference (NGTDM).

Levels are integers 0 to bins - 1, several bands at a time; only voxels of the region count, as centre and
as neighbour. Both follow IBSI (arXiv 1612.07003, sections 3.6 and 3.10) at distance 1.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

Array = NDArray[Any]

GLCM_NAMES = (
    "contrast", "dissimilarity", "homogeneity", "second_moment", "maximum", "correlation", "entropy",
    "cluster_tendency", "cluster_shade", "cluster_prominence", "sum_entropy", "difference_entropy",
)  # fmt: skip
NGTDM_NAMES = ("coarseness", "contrast", "busyness", "complexity", "strength")
MAX_COARSENESS = 100.0  # of a region without any difference, where the formula divides by zero


def cooccurrence(
    levels: Int[Array, " b *xyz"], region: Bool[Array, " *xyz"], bins: int
) -> Float[Array, "b l l"]:
    """Return the symmetric co-occurrence matrices, of sum 1: 4 directions in 2D, 13 in 3D, merged.

    All pairs of all directions are counted into one matrix, which small regions need; all 0 where a region
    has no two voxels side by side.
    """
    count = len(levels)
    codes = levels + bins * bins * np.arange(count).reshape(-1, *[1] * region.ndim)
    total = np.zeros(count * bins * bins)
    for offset in _directions(region.ndim):
        first, second = _shifted(offset)
        both = region[first] & region[second]
        pairs = codes[(slice(None), *first)] + bins * levels[(slice(None), *second)]
        kept = pairs.reshape(count, -1) if both.all() else pairs[:, both]
        total += np.bincount(kept.ravel(), minlength=len(total))
    matrices = total.reshape(count, bins, bins)
    matrices = matrices + matrices.transpose(0, 2, 1)
    return matrices / np.maximum(matrices.sum(axis=(1, 2), keepdims=True), 1)


def glcm(matrices: Float[Array, "b l l"]) -> Float[Array, "b 12"]:
    """Return 12 features of co-occurrence matrices (IBSI 3.6); the correlation of a flat region is 1."""
    bins = matrices.shape[1]
    i, j = np.indices((bins, bins), dtype=float)
    margin = matrices.sum(axis=2)
    level = np.arange(bins)
    mean = margin @ level
    variance = margin @ level**2 - mean**2
    spread = (i + j)[None] - 2 * mean[:, None, None]
    covariance = _expected(matrices, i * j) - mean**2
    sums = _pooled(matrices, i + j, 2 * bins - 1)
    differences = _pooled(matrices, np.abs(i - j), bins)
    varied = variance > 1e-12
    return np.stack(
        [
            _expected(matrices, (i - j) ** 2),
            _expected(matrices, np.abs(i - j)),
            _expected(matrices, 1 / (1 + (i - j) ** 2)),
            (matrices**2).sum(axis=(1, 2)),
            matrices.max(axis=(1, 2)),
            np.where(varied, covariance / np.where(varied, variance, 1.0), 1.0),
            _entropy(matrices.reshape(len(matrices), -1)),
            *((matrices * spread**power).sum(axis=(1, 2)) for power in (2, 3, 4)),
            _entropy(sums),
            _entropy(differences),
        ],
        axis=1,
    )


def ngtdm(levels: Int[Array, " b *xyz"], region: Bool[Array, " *xyz"], bins: int) -> Float[Array, "b 5"]:
    """Return coarseness, contrast, busyness, complexity and strength (Amadasun and King 1989; IBSI 3.10).

    The summed differences of each level are divided by the number of voxels, else coarseness, busyness
    and strength would measure the size of the region.
    """
    neighbours = _around(region[None].astype(float))[0]
    known = region & (neighbours > 0.5)
    inside = levels[:, known]
    sums = _around(np.where(region, levels, 0).astype(float))[:, known]
    differences = np.abs(inside - sums / neighbours[known])
    count, voxels = inside.shape
    codes = (inside + bins * np.arange(count)[:, None]).ravel()
    size = count * bins
    share = np.bincount(codes, minlength=size).reshape(count, bins) / max(voxels, 1)
    gap = np.bincount(codes, weights=differences.ravel(), minlength=size).reshape(count, bins)
    return np.stack([_of_ngtdm(p, s) for p, s in zip(share, gap / max(voxels, 1), strict=True)])


def _of_ngtdm(share: Array, gap: Array) -> Array:
    """Return the five features of one band: shares and differences per voxel of the levels 1 to bins."""
    there = np.flatnonzero(share)
    p, s, level = share[there], gap[there], there + 1.0
    weighted = float(p @ s)
    if len(there) < 2 or weighted <= 0:
        return np.array([MAX_COARSENESS, 0.0, 0.0, 0.0, 0.0])
    steps = level[:, None] - level
    contrast = (p[:, None] * p * steps**2).sum() / (len(p) * (len(p) - 1)) * s.sum()
    apart = np.abs((level * p)[:, None] - level * p).sum()
    busyness = weighted / apart if apart > 1e-12 else 0.0
    mixed = (p * s)[:, None] + p * s
    complexity = (np.abs(steps) * mixed / (p[:, None] + p)).sum()
    strength = ((p[:, None] + p) * steps**2).sum() / s.sum()
    return np.array([min(1 / weighted, MAX_COARSENESS), contrast, busyness, complexity, strength])


@cache
def _directions(dims: int) -> tuple[tuple[int, ...], ...]:
    """Return one of each two opposite steps to a neighbour: 4 in 2D, 13 in 3D."""
    return tuple(step for step in product((-1, 0, 1), repeat=dims) if step > (0,) * dims)


def _shifted(offset: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the windows of the voxels that have a neighbour at `offset`, and of these neighbours."""
    first = tuple(slice(max(-step, 0), -step if step > 0 else None) for step in offset)
    second = tuple(slice(max(step, 0), step if step < 0 else None) for step in offset)
    return first, second


def _around(bands: Array) -> Array:
    """Return the sum over the 8 (2D) or 26 (3D) neighbours, 0 beyond the border."""
    found = bands
    for axis in range(1, bands.ndim):
        found = correlate1d(found, np.ones(3), axis=axis, mode="constant")
    return found - bands


def _expected(matrices: Array, weights: Array) -> Array:
    return matrices.reshape(len(matrices), -1) @ weights.ravel()


def _pooled(matrices: Array, codes: Array, size: int) -> Array:
    """Return the probabilities of sums or differences of two levels."""
    return matrices.reshape(len(matrices), -1) @ np.eye(size)[codes.ravel().astype(int)]


def _entropy(shares: Array) -> Array:
    return -(shares * np.log2(np.where(shares > 0, shares, 1.0))).sum(axis=1)
