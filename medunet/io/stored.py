"""What every reader hands over: the array as the file stores it, before it is turned to RAS+."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from medunet.geometry import Affine, spacing_of
from medunet.io.volume import Array, Grid

SYNTHETIC = "SYNTHETIC - NOT FOR DIAGNOSIS"  # how every file of a generated case is marked, in words
SYNTHETIC_REMARK = "marked synthetic: a generator made it, no scanner; not for diagnosis"


@dataclass(frozen=True)
class Header:
    """What a file says about itself, without its voxels; axes in RAS+ order."""

    shape: tuple[int, ...]  # spatial
    spacing_mm: tuple[float, ...]
    affine: Affine  # (d+1, d+1), voxel -> RAS mm
    channels: int
    dtype: str  # as stored, such as int16
    format: str  # nifti, png, tiff, jpeg, nrrd, meta or dicom
    synthetic: bool = False  # marked as made by a generator


@dataclass(frozen=True)
class Layout:
    """The declared grid of a file, in the file's own axis order."""

    shape: tuple[int, ...]  # spatial
    affine: Affine
    channels: int
    dtype: str
    format: str
    spacing_known: bool = True
    modality: str | None = None
    warnings: tuple[str, ...] = ()
    facts: dict[str, str] = field(default_factory=dict)
    header_affine: Affine | None = None  # see Grid
    planes: Grid | None = None  # replaces the grid of shape and affine: planes that are resampled

    def marked(self, *, synthetic: bool) -> Layout:
        """Return the layout with what its file says of being synthetic."""
        if not synthetic:
            return self
        facts = {**self.facts, "synthetic": "YES"}
        return replace(self, warnings=(*self.warnings, SYNTHETIC_REMARK), facts=facts)

    @property
    def grid(self) -> Grid:
        """The grid of the file."""
        return self.planes or Grid.of(self.shape, self.affine, self.header_affine)

    def to_header(self) -> Header:
        """Return the same facts for the array as it will be read, in RAS+ order."""
        grid = self.grid
        affine = grid.ras_affine
        return Header(
            grid.ras_shape,
            spacing_of(affine),
            affine,
            self.channels,
            self.dtype,
            self.format,
            self.facts.get("synthetic") == "YES",
        )


@dataclass(frozen=True)
class Stored:
    """The voxels of a file: (*spatial, channels) in the file's own axis order and data type."""

    array: Array
    layout: Layout
    path: Path
