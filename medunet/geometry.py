"""Affines, spacing, voxel <-> mm. Pure functions on numpy arrays.

An affine maps voxel indices to millimetres in RAS+ (x grows to the patient's Right, y to Anterior, z to
Superior): `point_mm = affine @ (*point_voxel, 1)`. It is (d+1, d+1) for a d-dimensional image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]


def spacing_of(affine: Affine) -> tuple[float, ...]:
    """Return the edge lengths of a voxel in mm, one per axis.

    >>> spacing_of(np.diag([2.0, 2.0, -5.0, 1.0]))
    (2.0, 2.0, 5.0)
    """
    lengths = np.linalg.norm(np.asarray(affine)[:-1, :-1], axis=0)
    return tuple(float(length) for length in lengths)


def with_spacing(affine: Affine, spacing_mm: Sequence[float]) -> Affine:
    """Return the affine with the same axes and the same outer corner, but other voxel edges (mm).

    The outer corner, not the centre of the first voxel, stays where it is.

    >>> with_spacing(np.eye(4), (2.0, 2.0, 2.0))[:3, 3].tolist()
    [0.5, 0.5, 0.5]
    """
    dims = len(spacing_mm)
    scale = np.asarray(spacing_mm, float) / np.asarray(spacing_of(affine))
    out = np.array(affine, float)
    out[:dims, :dims] = affine[:dims, :dims] * scale
    out[:dims, dims] = affine[:dims, dims] + affine[:dims, :dims] @ (0.5 * (scale - 1.0))
    return out


def voxel_to_mm(affine: Affine, point_voxel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map voxel indices (..., d) to mm (..., d).

    >>> voxel_to_mm(np.diag([2.0, 3.0, 1.0]), np.array([1.0, 1.0])).tolist()
    [2.0, 3.0]
    """
    dims = affine.shape[0] - 1
    return point_voxel @ affine[:dims, :dims].T + affine[:dims, dims]


def mm_to_voxel(affine: Affine, point_mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map mm (..., d) to voxel indices (..., d); the inverse of `voxel_to_mm`.

    >>> mm_to_voxel(np.diag([2.0, 3.0, 1.0]), np.array([2.0, 3.0])).tolist()
    [1.0, 1.0]
    """
    return voxel_to_mm(np.asarray(np.linalg.inv(affine), np.float64), point_mm)


def voxel_volume_ml(spacing_mm: Sequence[float]) -> float:
    """Return the volume of one voxel in ml (1 ml = 1000 mm^3); for 2D, its area in 1000 mm^2.

    >>> voxel_volume_ml((1.0, 1.0, 5.0))
    0.005
    """
    return float(np.prod(spacing_mm)) / 1000.0


def axis_skew(affine: Affine) -> float:
    """Return the largest absolute cosine between two axes; 0 for an orthogonal grid.

    >>> axis_skew(np.eye(4))
    0.0
    """
    axes = np.asarray(affine)[:-1, :-1]
    unit = axes / np.linalg.norm(axes, axis=0)
    gram = np.abs(unit.T @ unit - np.eye(unit.shape[1]))
    return float(gram.max())


def resampled_shape(
    shape: Sequence[int], spacing_mm: Sequence[float], target_mm: Sequence[float]
) -> tuple[int, ...]:
    """Return the number of voxels per axis that covers the same field of view at another spacing.

    >>> resampled_shape((10, 10), (1.0, 1.0), (2.0, 0.5))
    (5, 20)
    """
    pairs = zip(shape, spacing_mm, target_mm, strict=True)
    return tuple(max(1, round(n * old / new)) for n, old, new in pairs)
