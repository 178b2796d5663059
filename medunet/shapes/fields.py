"""Smooth random fields: noise on control points, carried to the voxels by cubic B-splines along each axis.

Cheaper than filtering noise on every voxel, and with exact derivatives. Lengths come in units of the smallest
voxel edge, so that thick slices get fewer control points across.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float64]

SIGMA_NODES = 2.0  # control points per sigma
EDGE_NODES = 2  # control points beyond the canvas on each side


def steps_of(sigma_voxels: float, spacing_mm: Sequence[float]) -> tuple[float, ...]:
    """Return the distance of control points in voxels, per axis."""
    return tuple(max(sigma_voxels * min(spacing_mm) / SIGMA_NODES / mm, 1.0) for mm in spacing_mm)


def draw_nodes(
    generator: np.random.Generator, count: int, size: Sequence[int], steps_voxels: Sequence[float]
) -> Array:
    """Draw `count` fields (count, *control points) for a canvas, with a root mean square of 1 together."""
    nodes = [max(ceil((n - 1) / s), 1) + 1 + 2 * EDGE_NODES for n, s in zip(size, steps_voxels, strict=True)]
    noise = generator.standard_normal((count, *nodes))
    smooth = np.stack([gaussian_filter(part, SIGMA_NODES, mode="wrap") for part in noise])
    return np.asarray(smooth / np.sqrt((smooth**2).mean()))


def spread(
    nodes: Array, size: Sequence[int], steps_voxels: Sequence[float], derivative: int | None = None
) -> Array:
    """Return fields (count, *size), or their derivative along an axis per voxel, from control points."""
    field = nodes
    for axis, (n, step) in enumerate(zip(size, steps_voxels, strict=True), start=1):
        basis = _splines(field.shape[axis], n, step, int(axis - 1 == derivative))
        field = np.moveaxis(np.tensordot(basis, field, (1, axis)), 0, axis)
    return field


def _splines(nodes: int, n: int, step: float, derivative: int) -> Array:
    """Return the cubic B-splines of the control points, or their derivatives, at the voxels: (n, nodes)."""
    from_node = np.arange(n)[:, None] / step + EDGE_NODES - np.arange(nodes)
    far = np.abs(from_node)
    tail = np.maximum(2 - far, 0)
    if derivative:
        slope = np.where(far < 1, (1.5 * far - 2) * far, -0.5 * tail**2)
        return np.asarray(np.sign(from_node) * slope / step)
    return np.asarray(np.where(far < 1, 2 / 3 + (far / 2 - 1) * far**2, tail**3 / 6))


def resampled(
    maps: NDArray[np.float32], offset: Sequence[float] | Array, factor: float, size: Sequence[int]
) -> NDArray[np.float32]:
    """Return maps (count, X, Y[, Z]) at the places offset + factor * voxel of a canvas, linearly per axis.

    Beyond the edges the outermost voxel counts.
    """
    out = maps
    for axis, (n, start) in enumerate(zip(size, offset, strict=True), start=1):
        at = np.clip(start + factor * np.arange(n), 0, maps.shape[axis] - 1)
        hat = np.maximum(1 - np.abs(at[:, None] - np.arange(maps.shape[axis])), 0).astype(np.float32)
        out = np.moveaxis(np.tensordot(hat, out, (1, axis)), 0, axis)
    return np.ascontiguousarray(out)
