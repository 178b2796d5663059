"""Parallel planes that form no right-angled grid (gantry tilt, uneven gaps), put on one, and masks put back.

Planes are shifted within themselves (linear), then interpolated along their normal to even distances. A mask
comes back by the nearest voxel, plane by plane.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from medunet.geometry import Affine
from medunet.io.volume import RAS, Array, Grid

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class PlaneGrid(Grid):
    """A grid of `shape` (columns, rows, planes) whose planes lie at `origins`, RAS mm (planes, 3).

    `affine` is exact where the planes are evenly spaced (then it may be sheared), else only near.
    """

    origins: Vector = field(default_factory=lambda: np.zeros((0, 3)))
    even: bool = True

    @property
    def is_affine(self) -> bool:
        """Whether `affine` says exactly where each voxel lies."""
        return self.even

    @cached_property
    def _places(self) -> tuple[Vector, Vector, Vector]:
        """Columns, rows and heights (planes,) of the first voxels, from the corner of the right-angled grid.

        Columns and rows are counted in voxels, heights in mm.
        """
        row, column = self.affine[:3, 0], self.affine[:3, 1]
        origins = self.origins
        across = [origins @ axis / (axis @ axis) for axis in (row, column)]
        heights = origins @ self._normal
        return across[0] - across[0].min(), across[1] - across[1].min(), heights - heights[0]

    @property
    def _normal(self) -> Vector:
        row, column = self.affine[:3, 0], self.affine[:3, 1]
        normal = np.cross(row, column)
        return np.asarray(normal / np.linalg.norm(normal))

    @cached_property
    def _step_mm(self) -> float:
        gaps = np.diff(self._places[2])
        return float(np.mean(gaps) if self.even else np.median(gaps))

    @cached_property
    def _target_shape(self) -> tuple[int, int, int]:
        columns, rows, heights = self._places
        wider = [int(np.ceil(shift.max() - 1e-3)) for shift in (columns, rows)]
        count = int(heights[-1] / self._step_mm + 1e-3) + 1
        return self.shape[0] + wider[0], self.shape[1] + wider[1], count

    @cached_property
    def _target_affine(self) -> Affine:
        row, column = self.affine[:3, 0], self.affine[:3, 1]
        origins = self.origins
        affine = np.eye(4)
        affine[:3, :3] = np.stack([row, column, self._normal * self._step_mm], axis=1)
        affine[:3, 3] = origins[0] - self._places[0][0] * row - self._places[1][0] * column
        return affine

    @cached_property
    def _target_orientation(self) -> Array:
        return np.asarray(io_orientation(self._target_affine))

    @property
    def ras_affine(self) -> Affine:
        """The affine of the array after `to_ras`."""
        return np.asarray(self._target_affine @ inv_ornt_aff(self._target_orientation, self._target_shape))

    @property
    def ras_shape(self) -> tuple[int, ...]:
        """The shape of the array after `to_ras`."""
        shape = [0, 0, 0]
        for axis, size in enumerate(self._target_shape):
            shape[int(self._target_orientation[axis, 0])] = size
        return tuple(shape)

    def to_ras(self, array: Array) -> Array:
        """Resample stored planes (columns, rows, planes) to the right-angled grid, in RAS+ axes."""
        columns, rows, heights = self._places
        shifted = np.full((*self._target_shape[:2], self.shape[2]), np.nan, np.float32)
        for index in range(self.shape[2]):
            _place(array[..., index], shifted[..., index], columns[index], rows[index])
        wanted = np.arange(self._target_shape[2]) * self._step_mm
        low = np.clip(np.searchsorted(heights, wanted, side="right") - 1, 0, len(heights) - 2)
        share = np.clip((wanted - heights[low]) / (heights[low + 1] - heights[low]), 0, 1)
        out = np.full(self._target_shape, array.min(), np.float32)  # where no plane reaches: as outside
        for k, (index, part) in enumerate(zip(low, share, strict=True)):
            below, above = shifted[..., index], shifted[..., index + 1]
            both = below * (1 - part) + above * part if 0 < part < 1 else (below, above)[int(part)]
            for values in (below, above, both):  # the best that is there
                np.copyto(out[..., k], values, where=~np.isnan(values))
        return np.asarray(apply_orientation(out, self._target_orientation))

    def labels_to_ras(self, array: Array) -> Array:
        """Put stored labels on the right-angled grid, in RAS+ axes, by the nearest plane and voxel."""
        columns, rows, heights = self._places
        wanted = np.arange(self._target_shape[2]) * self._step_mm
        out = np.zeros(self._target_shape, array.dtype)
        for k, index in enumerate(np.abs(heights[:, None] - wanted).argmin(axis=0)):
            c, r = round(columns[index]), round(rows[index])
            out[c : c + self.shape[0], r : r + self.shape[1], k] = array[..., index]
        return np.asarray(apply_orientation(out, self._target_orientation))

    def from_ras(self, array: Array) -> Array:
        """Return a mask of `ras_shape` on the stored planes (columns, rows, planes), by the nearest voxel."""
        turned = apply_orientation(array, ornt_transform(RAS, self._target_orientation))
        columns, rows, heights = (np.rint(x).astype(int) for x in self._nearest())
        out = np.empty(self.shape, array.dtype)
        for index, (c, r, k) in enumerate(zip(columns, rows, heights, strict=True)):
            out[..., index] = turned[c : c + self.shape[0], r : r + self.shape[1], k]
        return out

    def _nearest(self) -> tuple[Vector, Vector, Vector]:
        columns, rows, heights = self._places
        last = self._target_shape[2] - 1
        return columns, rows, np.minimum(heights / self._step_mm, last)


def _place(plane: Array, canvas: Array, column: float, row: float) -> None:
    """Put a plane on a canvas, its first voxel at a fractional (column, row), by linear interpolation.

    A border voxel counts for the part of a voxel beyond it.
    """
    for axis, at in ((0, column), (1, row)):
        whole = int(np.floor(at + 1e-6))
        share = max(0.0, at - whole)
        if share > 1e-3:
            first, last = np.take(plane, [0], axis), np.take(plane, [-1], axis)
            after = np.concatenate((plane, last), axis)
            plane = after * (1 - share) + np.concatenate((first, plane), axis) * share
    c, r = (int(np.floor(at + 1e-6)) for at in (column, row))
    canvas[c : c + plane.shape[0], r : r + plane.shape[1]] = plane
