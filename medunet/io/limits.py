"""Guards that run on declared sizes, before memory is touched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from medunet.errors import DataError
from medunet.geometry import Affine, axis_skew, spacing_of

MAX_VOXELS = 2**31  # more than any scanner delivers: 1290 voxels along each side of a cube
DEFLATE_RATIO = 1032  # the most that deflate (gzip, PNG) can compress
WORKING_BYTES = 9  # per voxel while reading: float32 twice and a mask of the finite ones
DEFLATE_SLACK = 4096  # bytes: tiny files have room for their header
SHEAR_LIMIT = 1e-2  # cosine between two axes; above it voxels are no longer boxes
SINGULAR = 1e-9  # relative volume of a voxel below which an affine cannot be inverted
SPACING_MM = (1e-3, 100.0)  # voxel edges outside are told


def check_declared(
    path: Path, shape: Sequence[int], bytes_per_voxel: float, *, stored_bytes: int | None, deflated: bool
) -> None:
    """Refuse a header that declares more than the limits, the memory or the file itself can hold.

    stored_bytes is the number of bytes of the file that may hold voxels; None where it says nothing.
    """
    if any(n < 1 for n in shape):
        raise DataError(
            f"{path}: the header declares the shape {tuple(shape)}; every axis must be at least 1"
        )
    voxels = math.prod(int(n) for n in shape)
    said = f"{path}: the header declares {' x '.join(str(n) for n in shape)} = {voxels:.3g} voxels"
    if voxels > MAX_VOXELS:
        raise DataError(
            f"{said}; the limit is {MAX_VOXELS:.3g}. The header is damaged, or cut the image in parts"
        )
    if stored_bytes is not None:
        most = stored_bytes * DEFLATE_RATIO + DEFLATE_SLACK if deflated else stored_bytes
        if voxels * bytes_per_voxel > most:
            raise DataError(
                f"{said} ({voxels * bytes_per_voxel:.3g} bytes), but the file holds {stored_bytes} bytes: "
                "it is cut short or its header is damaged; fetch it again"
            )
    check_memory(voxels * (bytes_per_voxel + WORKING_BYTES), f"{said}: reading")


def check_memory(needed_bytes: float, what: str) -> None:
    """Refuse what this machine's memory cannot hold; where it only cannot now, a MemoryError is the cause."""
    memory = psutil.virtual_memory()
    if needed_bytes > memory.available:
        here = f"{memory.total / 1e9:.1f} GB are there, {memory.available / 1e9:.1f} GB of them free"
        now = MemoryError() if needed_bytes <= memory.total else None
        raise DataError(f"{what} needs {needed_bytes / 1e9:.1f} GB of memory; {here}") from now


def check_affine(path: Path, affine: Affine, *, any_grid: bool = False) -> list[str]:
    """Return warnings about an affine; refuse one that maps no grid, and a sheared one unless any_grid."""
    axes = np.asarray(affine, float)[:-1, :-1]
    if not np.isfinite(affine).all():
        raise DataError(f"{path}: the affine holds NaN or infinite numbers; give the file a valid header")
    spacing = spacing_of(affine)
    if min(spacing) == 0 or abs(np.linalg.det(axes / np.asarray(spacing))) < SINGULAR:
        raise DataError(
            f"{path}: the affine is singular (voxel edges {rounded(spacing)} mm): the header does not say "
            "where the voxels lie; write it again from the source, or give a valid sform"
        )
    warnings = []
    skew = axis_skew(affine)
    if skew > SHEAR_LIMIT and not any_grid:
        raise DataError(
            f"{path}: the axes are not at right angles (largest cosine {skew:.3f}, at most {SHEAR_LIMIT} is "
            "read); resample the image to a right-angled grid: medunet doctor --fix"
        )
    if skew > SHEAR_LIMIT / 10:
        warnings.append(f"the axes are not quite at right angles (largest cosine {skew:.4f})")
    if min(spacing) < SPACING_MM[0] or max(spacing) > SPACING_MM[1]:
        warnings.append(f"unusual voxel edges of {rounded(spacing)} mm: check the unit")
    return warnings


def rounded(numbers: Sequence[float]) -> str:
    """Return numbers for a message, such as 1 x 1 x 2.5."""
    return " x ".join(f"{number:.4g}" for number in numbers)
