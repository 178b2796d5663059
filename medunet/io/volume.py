"""A scan or mask in memory: always RAS+, with what is needed to write results back onto the source grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from medunet.geometry import Affine, spacing_of

Array = NDArray[Any]
RAS = np.array([[0, 1], [1, 1], [2, 1]])


@dataclass(frozen=True)
class Grid:
    """The grid of a file as it is stored, before reorientation."""

    shape: tuple[int, ...]  # spatial, in the file's axis order
    affine: Affine  # (d+1, d+1), stored voxel -> RAS mm
    orientation: Array  # (d, 2) nibabel orientation of the stored axes
    header_affine: Affine | None = None  # of a 2D file that lies in space: (4, 4) NIfTI, (3, 3) MHA and NRRD

    @classmethod
    def of(cls, shape: tuple[int, ...], affine: Affine, header_affine: Affine | None = None) -> Grid:
        """Return the grid of a stored array; 2D grids keep their axes."""
        orientation = io_orientation(affine) if len(shape) == 3 else np.array([[0, 1], [1, 1]])
        return cls(tuple(int(n) for n in shape), np.asarray(affine, float), orientation, header_affine)

    def to_ras(self, array: Array) -> Array:
        """Turn a stored spatial array (d axes) to RAS+ axes."""
        return np.asarray(apply_orientation(array, self.orientation)) if array.ndim == 3 else array

    def labels_to_ras(self, array: Array) -> Array:
        """Turn stored labels to RAS+ axes; as `to_ras`, where that does not mix values."""
        return self.to_ras(array)

    def from_ras(self, array: Array) -> Array:
        """Turn a RAS+ spatial array (d axes) back to the stored axes; the inverse of `to_ras`."""
        if array.ndim != 3:
            return array
        return np.asarray(apply_orientation(array, ornt_transform(RAS, self.orientation)))

    @property
    def is_affine(self) -> bool:
        """Whether `affine` says exactly where each voxel lies."""
        return True

    @property
    def ras_shape(self) -> tuple[int, ...]:
        """The spatial shape of the array after `to_ras`."""
        shape = [0] * len(self.shape)
        for stored, ras in enumerate(self.orientation[:, 0]):
            shape[int(ras)] = self.shape[stored]
        return tuple(shape)

    @property
    def ras_affine(self) -> Affine:
        """The affine of the array after `to_ras`."""
        if len(self.shape) != 3:
            return self.affine
        return np.asarray(self.affine @ inv_ornt_aff(self.orientation, self.shape))


@dataclass(frozen=True)
class Volume:
    """An image or a mask.

    array: (C, X, Y[, Z]) in RAS+ for images; (X, Y[, Z]) integers for masks. 2D: X is the column, Y the row.
    affine: (d+1, d+1), voxel -> RAS mm; where a 2D file has no pixel size, pixels count as 1 mm and
    `spacing_known` is False.
    """

    array: Array
    affine: Affine
    grid: Grid
    path: Path
    spacing_known: bool = True
    modality: str | None = None  # as a DICOM header says: CT, MR ...
    warnings: tuple[str, ...] = ()  # what is odd about the file, in words for the user
    header: dict[str, str] = field(default_factory=dict)  # facts worth keeping; never a patient's identity

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Voxel edges in mm, per axis of the array."""
        return spacing_of(self.affine)

    @property
    def shape(self) -> tuple[int, ...]:
        """The spatial shape."""
        dims = self.affine.shape[0] - 1
        return tuple(int(n) for n in self.array.shape[-dims:])
