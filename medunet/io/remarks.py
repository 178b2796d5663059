"""What is odd about the voxels of an image, in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medunet.errors import DataError
from medunet.io.volume import Array

SMALLEST_AXIS = 8  # voxels
ANISOTROPIC = 8.0  # longest over shortest voxel edge
THIN = 7  # of so many voxels along two axes, one shows at once that an image is not constant
WRAP_JUMP = 200  # grey values between neighbours of an 8-bit image
WRAP_SHARE = 2e-3  # of neighbours: natural images stay far below


def replace_nonfinite(path: Path, image: NDArray[np.float32]) -> list[str]:
    """Set NaN and infinite voxels to the smallest finite value, in place, and say how many."""
    with np.errstate(invalid="ignore"):  # infinities of both signs
        total = image.sum(dtype=np.float64)
    if np.isfinite(total):
        return []
    finite = np.isfinite(image)
    count = image.size - int(np.count_nonzero(finite))
    if count == image.size:
        raise DataError(
            f"{path}: every voxel is NaN or infinite; fetch the file again, or leave the case out"
        )
    lowest = float(image[finite].min())
    image[~finite] = lowest
    share = 100.0 * count / image.size
    return [
        f"{count} voxels ({share:.2g} %) are NaN or infinite: read as {lowest:g}, the lowest finite value"
    ]


def about_grid(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> list[str]:
    """Return remarks on a small or uneven grid."""
    warnings = []
    if len(shape) == 3 and min(shape) == 1:
        warnings.append("one slice only")
    elif min(shape) < SMALLEST_AXIS:
        warnings.append(f"small: {' x '.join(str(n) for n in shape)} voxels")
    if max(spacing_mm) / min(spacing_mm) > ANISOTROPIC:
        edges = " x ".join(f"{edge:.4g}" for edge in spacing_mm)
        warnings.append(f"very uneven voxel edges of {edges} mm")
    return warnings


def about_values(stored: Array, image: NDArray[np.float32]) -> list[str]:
    """Return remarks on grey values: constant images and integers that were cut to 8 bits."""
    thin = image[::THIN, ::THIN]
    if image.size and thin.min() == thin.max() and image.min() == image.max():
        return [f"every voxel is {image.flat[0]:g}"]
    if stored.dtype == np.uint8 and stored.ndim == 4 and _looks_wrapped(stored):
        return ["neighbouring voxels jump between dark and bright: were larger numbers cut to 8 bits?"]
    return []


def _looks_wrapped(stored: NDArray[np.uint8]) -> bool:
    jumps = pairs = 0
    for axis in range(3):
        for part in np.array_split(stored, max(1, stored.shape[3 - 1] // 16), axis=2):
            step = np.abs(np.diff(part.astype(np.int16), axis=axis))
            jumps += int(np.count_nonzero(step >= WRAP_JUMP))
            pairs += step.size
    return pairs > 0 and jumps / pairs > WRAP_SHARE
