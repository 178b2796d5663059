"""From image planes to one regular grid: sort along the normal, then prove that the grid is regular.

Positions are LPS mm (DICOM PS3.3 C.7.6.2.1.1); the affine that comes back is RAS mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medunet.errors import DataError
from medunet.geometry import Affine
from medunet.io.dicom_headers import Slice
from medunet.io.limits import SHEAR_LIMIT, rounded

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SAME_PLACE_MM = 0.01
UNEVEN_MM = 0.05  # a gap may differ from the median by this, or by UNEVEN_SHARE of it
UNEVEN_SHARE = 0.05
COSINE = 1e-3  # of row and column directions: unit length, right angle


@dataclass(frozen=True)
class Stack:
    """Slices in order, with the affine of the array (column, row, slice)."""

    slices: tuple[Slice, ...]
    affine: Affine  # (4, 4) for scans, (3, 3) for projections; voxel -> RAS mm
    warnings: tuple[str, ...]


def stack(slices: Sequence[Slice], where: str, *, any_grid: bool = False) -> Stack:
    """Return one regular grid; DataError with numbers for gaps, doubles, tilt and planes that do not fit."""
    if any(plane.position_mm is None for plane in slices):
        return _projection(slices, where)
    _check_alike(slices, where)
    row, column = _directions(slices[0])
    normal = np.cross(row, column)
    origins = np.array([plane.position_mm for plane in slices])
    order = np.argsort(origins @ normal, kind="stable")
    ordered, origins = tuple(slices[i] for i in order), origins[order]
    step, warnings = _single_step(ordered[0], normal) if len(order) == 1 else _step(origins, normal, where)
    warnings += _tilt(step, normal, where, any_grid)
    affine = np.eye(4)
    affine[:3, 0] = row * ordered[0].spacing_mm[1]
    affine[:3, 1] = column * ordered[0].spacing_mm[0]
    affine[:3, 2] = step
    affine[:3, 3] = origins[0]
    return Stack(ordered, LPS_TO_RAS @ affine, tuple(warnings))


def position_groups(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Return slices grouped by equal position; every group holds one slice in a plain series."""
    groups: dict[tuple[int, ...], list[Slice]] = {}
    for plane in slices:
        key = tuple(round(x / SAME_PLACE_MM) for x in plane.position_mm or ())
        groups.setdefault(key, []).append(plane)
    return list(groups.values())


def _projection(slices: Sequence[Slice], where: str) -> Stack:
    if len(slices) > 1:
        raise DataError(
            f"{where}: {len(slices)} images, some without a position; expected one projection per source"
        )
    between_rows, between_columns = slices[0].spacing_mm
    return Stack(tuple(slices), np.diag([between_columns, between_rows, 1.0]), ())


def _check_alike(slices: Sequence[Slice], where: str) -> None:
    """Refuse slices of unlike size, pixel spacing, orientation or value range in one stack."""
    first = slices[0]
    for plane in slices[1:]:
        if (plane.rows, plane.columns) != (first.rows, first.columns):
            raise DataError(
                f"{where}: slices differ in size: {first.columns} x {first.rows} in {first.path.name}, "
                f"{plane.columns} x {plane.rows} in {plane.path.name}; one of them does not belong here"
            )
        if not np.allclose(plane.spacing_mm, first.spacing_mm, rtol=1e-3):
            raise DataError(
                f"{where}: slices differ in pixel spacing: {rounded(first.spacing_mm)} mm in "
                f"{first.path.name}, {rounded(plane.spacing_mm)} mm in {plane.path.name}"
            )
        if not np.allclose(plane.orientation or (), first.orientation or (), atol=COSINE):
            raise DataError(
                f"{where}: slices differ in orientation: {rounded(first.orientation or ())} in "
                f"{first.path.name}, {rounded(plane.orientation or ())} in {plane.path.name}; "
                "export one plane direction per series"
            )
        if plane.inverted != first.inverted:
            raise DataError(
                f"{where}: {plane.path.name} and {first.path.name} differ in MONOCHROME1/MONOCHROME2"
            )


def _directions(plane: Slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    cosines = np.array(plane.orientation, float)
    row, column = cosines[:3], cosines[3:]
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    odd = max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(float(row @ column)))
    if not np.isfinite(cosines).all() or odd > COSINE:
        raise DataError(
            f"{plane.path}: ImageOrientationPatient {rounded(tuple(cosines))} is not two directions of "
            f"length 1 at right angles (off by {odd:.3g}); export it again"
        )
    return row / lengths[0], column / lengths[1]


def _single_step(plane: Slice, normal: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[str]]:
    if plane.thickness_mm is not None and plane.thickness_mm > 0:
        return normal * plane.thickness_mm, []
    return normal.copy(), ["no slice thickness: one slice counts as 1 mm"]


def _step(
    origins: NDArray[np.float64], normal: NDArray[np.float64], where: str
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the vector from slice to slice; every origin must lie where equal steps put it."""
    heights = origins @ normal
    gaps = np.diff(heights)
    median = float(np.median(gaps))
    if gaps.min() < SAME_PLACE_MM:
        at = int(np.argmin(gaps))
        same = int(np.count_nonzero(gaps < SAME_PLACE_MM)) + 1
        raise DataError(
            f"{where}: {same} slices lie at the same height ({heights[at]:.2f} mm along the normal): several "
            "time points, echoes or contrasts, or copies; keep one image per position"
        )
    allowed = max(UNEVEN_MM, UNEVEN_SHARE * median)
    worst = int(np.argmax(np.abs(gaps - median)))
    if abs(gaps[worst] - median) > allowed:
        raise DataError(
            f"{where}: the slices are not evenly spaced: a gap of {gaps[worst]:.3f} mm "
            f"({gaps[worst] / median:.2f}x the median of {median:.3f} mm) at {heights[worst]:.2f} mm; "
            "slices are missing or the spacing changes: export the whole series"
        )
    step = (origins[-1] - origins[0]) / (len(origins) - 1)
    off = np.linalg.norm(origins - (origins[0] + np.arange(len(origins))[:, None] * step), axis=1)
    if off.max() > allowed:
        raise DataError(
            f"{where}: slice {int(off.argmax()) + 1} lies {off.max():.3f} mm off the line of the others"
        )
    return step, []


def _tilt(step: NDArray[np.float64], normal: NDArray[np.float64], where: str, any_grid: bool) -> list[str]:
    aside = float(np.linalg.norm(step - (step @ normal) * normal))
    if aside / float(np.linalg.norm(step)) <= SHEAR_LIMIT:
        return []
    degrees = float(np.degrees(np.arctan2(aside, abs(step @ normal))))
    if not any_grid:
        raise DataError(
            f"{where}: the slices are tilted by {degrees:.1f} degrees against their stacking direction "
            f"(gantry tilt, {aside:.2f} mm a slice); resample the series to a right-angled grid first"
        )
    return [f"tilted by {degrees:.1f} degrees: the grid is sheared"]
