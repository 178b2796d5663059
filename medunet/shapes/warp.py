"""Smooth, invertible changes of space: a random stationary velocity field, scaled and squared, and an affine.

Source of scaling and squaring: Arsigny et al., MICCAI 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial.transform import Rotation

from medunet.config.base import Record
from medunet.shapes.family import Refused
from medunet.shapes.fields import draw_nodes, spread, steps_of

Array = NDArray[np.float64]

LOOK_UP_VARIANCE = 1 / 6  # of f (1 - f), the spread of linear weights, over a voxel
SQUARINGS = 5  # the flow is followed in 2^5 steps


class How(Record):
    """How far space is changed. Lengths in units of the smallest voxel edge."""

    sigma_voxels: tuple[float, float] = (8.0, 16.0)  # smoothness of the velocity field
    shift_voxels: tuple[float, float] = (1.0, 2.5)  # root mean square of the displacement
    rotate_degrees: float = 10.0  # either way, about every axis
    scale: tuple[float, float] = (0.9, 1.1)


@dataclass(frozen=True)
class Warp:
    """Maps every voxel of a canvas to the place that it looks at.

    nodes: displacement (d, *control points) in voxels · matrix (d, d): about the canvas's centre, in voxels.
    """

    size: tuple[int, ...]
    steps_voxels: tuple[float, ...]  # between control points, per axis
    nodes: Array
    matrix: Array

    @cached_property
    def coordinates(self) -> Array:
        """Where to look, in voxels of the canvas: (d, *size)."""
        centre = (np.array(self.size, float) - 1) / 2
        moved = np.indices(self.size, float) + spread(self.nodes, self.size, self.steps_voxels)
        offset = moved - centre.reshape(-1, *[1] * len(self.size))
        return np.asarray(np.tensordot(self.matrix, offset, 1) + centre.reshape(-1, *[1] * len(self.size)))

    @cached_property
    def jacobian(self) -> Array:
        """The determinant of the derivative at every voxel: above 0, space is not folded; 1: volume kept."""
        dims = len(self.size)
        columns = np.stack(
            [spread(self.nodes, self.size, self.steps_voxels, axis) for axis in range(dims)], axis=1
        )  # [i, j]: d u_i / d x_j
        columns += np.eye(dims).reshape(dims, dims, *[1] * dims)
        return np.asarray(_determinant(columns) * np.linalg.det(self.matrix))


def _determinant(m: Any) -> Any:
    if len(m) == 2:
        return m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0]
    first = m[0, 0] * (m[1, 1] * m[2, 2] - m[1, 2] * m[2, 1])
    second = m[0, 1] * (m[1, 0] * m[2, 2] - m[1, 2] * m[2, 0])
    return first - second + m[0, 2] * (m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0])


def draw_warp(
    generator: np.random.Generator, size: Sequence[int], spacing_mm: Sequence[float], how: How
) -> tuple[Warp, dict[str, Any]]:
    """Draw a warp of a canvas and what was drawn for it; Refused where space would fold."""
    edge_mm = min(spacing_mm)
    sigma, shift = float(generator.uniform(*how.sigma_voxels)), float(generator.uniform(*how.shift_voxels))
    degrees = generator.uniform(-how.rotate_degrees, how.rotate_degrees, 3 if len(size) == 3 else 1)
    scale = float(generator.uniform(*how.scale))
    steps = steps_of(sigma, spacing_mm)
    velocity = draw_nodes(generator, len(size), size, steps) * (shift * edge_mm / np.sqrt(len(size)))
    in_voxels = np.array(spacing_mm, float).reshape(-1, *[1] * len(size))
    nodes = _flowed(velocity / in_voxels, steps)
    warp = Warp(tuple(size), steps, nodes, affine(degrees, scale, spacing_mm))
    lowest = float(warp.jacobian.min())
    if lowest <= 0:
        raise Refused(f"the deformation folds space (smallest Jacobian determinant {lowest:.2g})")
    return warp, {
        "sigma_voxels": sigma,
        "shift_voxels": shift,
        "rotate_degrees": [float(angle) for angle in degrees],
        "scale": scale,
        "jacobian_min": lowest,
        "jacobian_max": float(warp.jacobian.max()),
    }


def affine(degrees: Sequence[float] | Array, scale: float, spacing_mm: Sequence[float]) -> Array:
    """Return the (d, d) matrix from an offset in the new mask to one in the old, in voxels.

    The shape grows by `scale` and turns in mm, so that thick slices are not sheared.
    """
    dims = len(spacing_mm)
    angles = [0.0, 0.0, float(degrees[0])] if dims == 2 else [float(angle) for angle in degrees]
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()[:dims, :dims]
    edges = np.diag(np.asarray(spacing_mm, float))
    return np.asarray(np.linalg.inv(edges) @ (rotation / scale) @ edges)


def _flowed(velocity: Array, steps_voxels: Sequence[float]) -> Array:
    """Follow a velocity field (d, *control points) in voxels for unit time."""
    per_node = np.array(steps_voxels).reshape(-1, *[1] * (velocity.ndim - 1))
    here = np.indices(velocity.shape[1:], float)
    moved = velocity / per_node / 2**SQUARINGS
    for _ in range(SQUARINGS):
        there = here + moved
        # linear is enough: the field varies over some control points, and folding is checked later
        moved = moved + np.stack([map_coordinates(part, there, order=1, mode="nearest") for part in moved])
    return np.asarray(moved * per_node)


def softened(region: NDArray[np.bool_], sigma_voxels: float) -> NDArray[np.float32]:
    """Return a region as smooth shares (X, Y[, Z]) whose border at a half, once looked up, keeps its volume.

    A Gaussian alone draws convex borders in, and so does the linear look-up between voxels (on average like a
    variance of 1/6 voxel^2): a second Gaussian, taken away, cancels both variances.
    """
    share = region.astype(np.float32)
    if sigma_voxels == 0:
        return share
    more = 1 + LOOK_UP_VARIANCE / sigma_voxels**2
    wide = gaussian_filter(share, sigma_voxels * 2**0.5)
    return np.asarray((1 + more) * gaussian_filter(share, sigma_voxels) - more * wide)


def look(occupancy: NDArray[np.float32], coordinates: Array) -> NDArray[np.float32]:
    """Return a map (X, Y[, Z]) at places (d, *size) in voxels, linearly; beyond its edges: 0."""
    return np.asarray(map_coordinates(occupancy, coordinates, order=1, mode="constant", output=np.float32))
