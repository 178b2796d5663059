"""Do an image and a mask lie on the same grid? One answer for prepare, doctor and evaluate."""

from __future__ import annotations

import itertools

import numpy as np

from medunet.geometry import Affine, spacing_of, voxel_to_mm
from medunet.io.volume import Volume

TOLERANCE_VOXELS = 0.5


def same_grid(image: Volume, mask: Volume) -> str | None:
    """Return the sentence that says how two grids disagree; None where a voxel is the same place in both.

    Grids agree when shapes are equal and no outer voxel centre is more than half a voxel apart. A picture
    without a pixel size agrees with every grid of its shape.
    """
    if image.shape != mask.shape:
        return f"shapes differ: {_shape(image)} in {image.path}, {_shape(mask)} in {mask.path}"
    if not (image.spacing_known and mask.spacing_known):
        return None
    gap = corner_gap_mm(image.shape, image.affine, mask.affine)
    limit = TOLERANCE_VOXELS * min(spacing_of(image.affine))
    if gap <= limit:
        return None
    return (
        f"positions differ: corners are up to {gap:.3g} mm apart (at most {limit:.3g} mm, half a voxel) "
        f"between {image.path} and {mask.path}"
    )


def corner_gap_mm(shape: tuple[int, ...], first: Affine, second: Affine) -> float:
    """Return the largest distance in mm between the same corner voxel under two affines."""
    corners = np.array(list(itertools.product(*((0.0, n - 1.0) for n in shape))))
    apart = voxel_to_mm(first, corners) - voxel_to_mm(second, corners)
    return float(np.linalg.norm(apart, axis=1).max())


def _shape(volume: Volume) -> str:
    return " x ".join(str(n) for n in volume.shape)
