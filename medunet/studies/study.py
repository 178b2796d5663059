"""What a writer of results may want to know of a study, besides its volume and mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from medunet.config.card import Card
from medunet.io.dicom_planes import PlaneGrid
from medunet.io.dicom_reference import ScanReference
from medunet.io.volume import Grid


@dataclass(frozen=True)
class Study:
    """One study. `series` are the files that were read."""

    name: str  # hashed; the folder of the results
    identity: str  # hash of study, model and options: what UIDs of results follow from
    series: tuple[tuple[Path, ...], ...]  # per channel
    grid: Grid  # of the scan, as it is stored
    card: Card
    model: Mapping[str, Any]
    model_sha256: str
    options: str  # that decide the mask, besides the model
    flags: Sequence[Mapping[str, Any]]

    @cached_property
    def reference(self) -> ScanReference:
        """The series that DICOM results belong to; DataError where the scan is not such a series."""
        grid = self.grid
        return ScanReference.of(self.series[0], grid, grid.origins if isinstance(grid, PlaneGrid) else None)
