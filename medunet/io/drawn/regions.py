"""Regions that a DICOM object draws, frame by frame or slice by slice, put onto the grid of a scan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from medunet.errors import DataError
from medunet.io.dicom.frames import Plane, Vector
from medunet.io.dicom.reference import OFF_EDGE_PIXELS, OFF_VOXELS, ScanReference
from medunet.io.limits import rounded
from medunet.io.volume import Grid

Index = tuple[slice | int, ...]
Piece = tuple[Index, NDArray[Any]]  # a part of the grid, and region numbers there; 0 is none


@dataclass(frozen=True)
class Regions:
    """What a segmentation or structure set holds on a grid: names by number, and the pieces to lay down."""

    path: Path
    names: dict[int, str]
    pieces: Iterable[Piece]


class Lattice:
    """The voxels of a scan, and where its slices really lie."""

    def __init__(self, grid: Grid, reference: ScanReference | None = None) -> None:
        """Take the places of the slices from the reference, else from the affine of the grid."""
        self.grid = grid
        self.to_voxel = np.linalg.inv(grid.affine[:3, :3]) if len(grid.shape) == 3 else np.eye(3)
        planes = [image.plane for image in reference.images if image.plane] if reference else []
        if len(grid.shape) == 3 and not planes:
            steps = np.arange(grid.shape[2])[:, None] * grid.affine[:3, 2]
            self.origins = grid.affine[:3, 3] + steps
        else:
            self.origins = np.array([plane.origin_mm for plane in planes])

    def locate(self, point_mm: Vector) -> Vector:
        """Return the voxel indices of a RAS point that should lie in a slice; the third counts slices."""
        off = (point_mm - self.origins) @ self.to_voxel.T
        nearest = int(np.abs(off[:, 2]).argmin())
        return np.asarray(off[nearest] + (0, 0, nearest))


def on_lattice(path: Path, plane: Plane | None, numbers: NDArray[Any], lattice: Lattice) -> Piece:
    """Lay a frame (rows, columns) of region numbers onto the grid; DataError where it is off its voxels."""
    shape = lattice.grid.shape
    if len(shape) == 2 or plane is None:
        if len(shape) == 2 and numbers.T.shape == shape:
            return (slice(None), slice(None)), numbers.T
        raise DataError(
            f"{path}: frames of {numbers.shape[1]} x {numbers.shape[0]} pixels without a place in the body; "
            f"expected planes of a scan of {' x '.join(map(str, shape))} voxels"
        )
    steps = lattice.to_voxel @ plane.steps_mm
    whole = np.rint(steps)
    off_edge = np.abs(steps - whole) * numbers.shape[::-1]
    if (
        sorted(np.abs(whole).sum(axis=0)) != [1, 1]
        or (whole[:, 0] @ whole[:, 1])
        or off_edge.max() > OFF_EDGE_PIXELS
    ):
        raise DataError(
            f"{path}: its pixels ({rounded(plane.spacing_mm)} mm) are not the voxels of the scan: a step "
            f"along a row is {rounded(tuple(steps[:, 0]))} voxels; it was drawn on another series"
        )
    columns, rows = (int(np.abs(whole[:, i]).argmax()) for i in (0, 1))
    start = lattice.locate(plane.origin_mm) if {columns, rows} == {0, 1} else _by_affine(lattice, plane)
    origin = np.rint(start).astype(int)
    if np.abs(start - origin).max() > OFF_VOXELS:
        raise DataError(
            f"{path}: a frame lies between the voxels of the scan (at {rounded(tuple(start))} voxels): it "
            "belongs to another series"
        )
    turned = numbers.T[:: int(whole[columns, 0]), :: int(whole[rows, 1])]
    return _cropped(
        path, turned if columns < rows else turned.T, origin, whole.sum(axis=1).astype(int), shape
    )


def _by_affine(lattice: Lattice, plane: Plane) -> Vector:
    return np.asarray(lattice.to_voxel @ (plane.origin_mm - lattice.grid.affine[:3, 3]))


def _cropped(
    path: Path, numbers: NDArray[Any], origin: NDArray[Any], signs: NDArray[Any], shape: tuple[int, ...]
) -> Piece:
    """Return the part of a frame inside the grid; signs are 1, -1 along its axes, 0 across."""
    index: list[slice | int] = []
    inside: list[slice] = []
    for axis, sign in enumerate(signs):
        if sign == 0:
            index.append(int(origin[axis]))
            continue
        length = numbers.shape[len(inside)]
        first = int(origin[axis]) - (length - 1) * (sign < 0)
        low, high = max(first, 0), min(first + length, shape[axis])
        index.append(slice(low, max(low, high)))
        inside.append(slice(low - first, max(low, high) - first))
    (across,) = np.flatnonzero(signs == 0)
    kept = numbers[tuple(inside)] if 0 <= origin[across] < shape[across] else numbers[:0]
    if (lost := np.count_nonzero(numbers) - np.count_nonzero(kept)) > 0:
        raise DataError(
            f"{path}: {lost} voxels lie outside the scan of {' x '.join(map(str, shape))} voxels, in "
            f"a frame at {rounded(tuple(origin))}: slices are missing, or it belongs to another series"
        )
    return (tuple(index), kept) if kept.size else ((slice(0),) * 3, np.zeros((0, 0, 0), numbers.dtype))


def label_map(
    regions: Regions,
    shape: tuple[int, ...],
    labels: Mapping[int, int],
    overlaps: Literal["refuse", "higher label"] = "refuse",
) -> NDArray[np.uint8]:
    """Return labels (stored order of the grid); labels maps region numbers to values, others are left out.

    DataError where regions of different labels overlap, unless the higher label shall have the voxels.
    """
    table = np.zeros(max(labels, default=0) + 1, np.uint8)
    for number, value in labels.items():
        table[number] = value
    out = np.zeros(shape, np.uint8, order="F")  # slices whole in memory, as they are laid down
    clashes: dict[tuple[int, int], int] = {}
    for index, numbers in regions.pieces:
        new = table[np.where(numbers < len(table), numbers, 0)]
        old = out[index]
        if overlaps == "higher label":
            np.maximum(old, new, out=old)
            continue
        both = (old != 0) & (new != 0) & (old != new) if old.any() else np.zeros(0, bool)
        for one, other in zip(old[both], new[both], strict=True) if both.any() else ():
            pair = int(min(one, other)), int(max(one, other))
            clashes[pair] = clashes.get(pair, 0) + 1
        out[index] = np.where(new, new, old)
    if clashes:
        said = {value: regions.names.get(number, str(number)) for number, value in labels.items()}
        told = "; ".join(
            f"{said[one]} and {said[other]} in {n} voxels" for (one, other), n in clashes.items()
        )
        raise DataError(
            f"{regions.path}: segments overlap ({told}); a mask of one label per voxel cannot hold "
            "them. Draw them apart, or set `overlaps: higher label` under `mask` in the card"
        )
    return out


def separate(regions: Regions, shape: tuple[int, ...]) -> dict[int, NDArray[np.bool_]]:
    """Return one mask per region that has a name, overlapping or not, in the stored order of the grid."""
    out = {number: np.zeros(shape, bool, order="F") for number in regions.names}
    for index, numbers in regions.pieces:
        for number in out.keys() & set(np.unique(numbers).tolist()) - {0}:
            out[number][index] |= numbers == number
    return out
