"""From image planes to one regular grid: sort along the normal, then prove that the grid is regular.

Positions are LPS mm (DICOM PS3.3 C.7.6.2.1.1); the affine that comes back is RAS mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medunet.errors import DataError
from medunet.geometry import Affine
from medunet.io.dicom.headers import Slice, close
from medunet.io.limits import SHEAR_LIMIT, rounded
from medunet.io.planes import PlaneGrid
from medunet.io.volume import Grid

Irregular = Literal["error", "resample", "longest"]
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SAME_PLACE_MM = 0.01
AT_ONE_HEIGHT = 64  # places beside each other that are told apart; more are no stack
RESAMPLE = "have it resampled: medunet predict --irregular resample"
UNEVEN_MM = 0.05  # a gap may differ from the median by this, or by UNEVEN_SHARE of it
UNEVEN_SHARE = 0.05
COSINE = 1e-3  # of row and column directions: unit length, right angle


@dataclass(frozen=True)
class Stack:
    """Slices in order, with the affine of the array (column, row, slice)."""

    slices: tuple[Slice, ...]
    affine: Affine  # (4, 4) for scans, (3, 3) for projections; voxel -> RAS mm
    warnings: tuple[str, ...]
    planes: PlaneGrid | None = None  # where they form no right-angled grid and are to be resampled


def stack(
    slices: Sequence[Slice], where: str, *, any_grid: bool = False, irregular: Irregular = "error"
) -> Stack:
    """Return one regular grid; DataError with numbers for gaps, doubles, tilt and planes that do not fit.

    irregular: `resample` puts tilted and unevenly spaced planes on a right-angled grid, `longest` keeps the
    longest run of even gaps; the default refuses both.
    """
    if any(plane.position_mm is None for plane in slices):
        return _projection(slices, where)
    _check_alike(slices, where)
    row, column = _directions(slices[0])
    normal = np.cross(row, column)
    origins = np.array([plane.position_mm for plane in slices])
    order = np.argsort(origins @ normal, kind="stable")
    ordered, origins = tuple(slices[i] for i in order), origins[order]
    warnings: list[str] = []
    if irregular == "longest" and len(ordered) > 2:
        run, warnings = _longest_run(origins @ normal)
        ordered, origins = ordered[run], origins[run]
    step, uneven = np.zeros(3), False
    if len(ordered) == 1:
        step, said = _single_step(ordered[0], normal)
    else:
        try:
            step, said = _step(origins, normal, where)
        except _UnevenError as error:
            if irregular != "resample":
                raise DataError(str(error)) from None
            uneven, step = True, (origins[-1] - origins[0]) / (len(origins) - 1)
            said = [f"resampled to even distances along the stack: {error.found}"]
    tilted = [] if uneven else _tilt(step, normal, where, any_grid or irregular == "resample")
    affine = np.eye(4)
    affine[:3, 0] = row * ordered[0].spacing_mm[1]
    affine[:3, 1] = column * ordered[0].spacing_mm[0]
    affine[:3, 2] = step
    affine[:3, 3] = origins[0]
    affine = LPS_TO_RAS @ affine
    planes = None
    if irregular == "resample" and (uneven or tilted):
        shape = (ordered[0].columns, ordered[0].rows, len(ordered))
        grid = Grid.of(shape, affine)
        planes = PlaneGrid(shape, affine, grid.orientation, None, origins * (-1, -1, 1), not uneven)
        tilted = [f"{text}; resampled to a right-angled one" for text in tilted]
    return Stack(ordered, affine, (*warnings, *said, *tilted), planes)


class _UnevenError(DataError):
    """Gaps between slices differ, or slices lie off the line; `found` says how."""

    def __init__(self, where: str, found: str) -> None:
        super().__init__(f"{where}: {found}: export the whole series, or {RESAMPLE}")
        self.found = found


def _longest_run(heights: NDArray[np.float64]) -> tuple[slice, list[str]]:
    """Return the longest run of equal gaps, and how much was left out."""
    gaps = np.diff(heights)
    best, first = slice(0, 1), 0
    for index in range(1, len(gaps) + 1):
        if index == len(gaps) or abs(gaps[index] - gaps[first]) > max(UNEVEN_MM, UNEVEN_SHARE * gaps[first]):
            if index - first + 1 > best.stop - best.start:
                best = slice(first, index + 1)
            first = index
    dropped = len(heights) - (best.stop - best.start)
    told = f"only the longest run of even gaps is read: {dropped} of {len(heights)} slices are left out"
    return best, [told] * bool(dropped)


def position_groups(slices: Sequence[Slice]) -> list[list[Slice]]:
    """Return slices of one orientation grouped by equal position; in a plain series each group holds one."""
    places = [plane.origin for plane in slices]
    heights = [float(place @ slices[0].normal) for place in places]
    groups: list[list[int]] = []
    for index in np.argsort(heights, kind="stable"):
        level = [
            group for group in groups[-AT_ONE_HEIGHT:] if heights[index] - heights[group[0]] <= SAME_PLACE_MM
        ]
        home = next((g for g in level if np.linalg.norm(places[index] - places[g[0]]) <= SAME_PLACE_MM), None)
        if home is None:
            groups.append([int(index)])
        else:
            home.append(int(index))
    return [[slices[index] for index in sorted(group)] for group in groups]


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
        if not close(plane.spacing_mm, first.spacing_mm, rtol=1e-3):
            raise DataError(
                f"{where}: slices differ in pixel spacing: {rounded(first.spacing_mm)} mm in "
                f"{first.path.name}, {rounded(plane.spacing_mm)} mm in {plane.path.name}"
            )
        if not close(plane.orientation, first.orientation, atol=COSINE):
            raise DataError(
                f"{where}: slices differ in orientation: {rounded(first.orientation or ())} in "
                f"{first.path.name}, {rounded(plane.orientation or ())} in {plane.path.name}; "
                "export one plane direction per series"
            )
        if plane.monochrome1 != first.monochrome1:
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
        raise _UnevenError(
            where,
            f"the slices are not evenly spaced: a gap of {gaps[worst]:.3f} mm ({gaps[worst] / median:.2f}x "
            f"the median of {median:.3f} mm) at {heights[worst]:.2f} mm; slices are missing or the spacing "
            "changes",
        )
    step = (origins[-1] - origins[0]) / (len(origins) - 1)
    off = np.linalg.norm(origins - (origins[0] + np.arange(len(origins))[:, None] * step), axis=1)
    if off.max() > allowed:
        raise _UnevenError(
            where, f"slice {int(off.argmax()) + 1} lies {off.max():.3f} mm off the line of the others"
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
            f"(gantry tilt, {aside:.2f} mm a slice); {RESAMPLE}"
        )
    return [f"tilted by {degrees:.1f} degrees: the grid is sheared"]
