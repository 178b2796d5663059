"""What a writer of results may want to know of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from medunet.config.card import Card
from medunet.io.dicom.reference import ScanReference
from medunet.io.planes import PlaneGrid
from medunet.io.volume import Array, Volume

COLUMNS_AT_ONCE = 16  # of a mask being turned, so that they stay in the cache: three times as fast


@dataclass(frozen=True)
class Study:
    """One study. `series` are the files that were read."""

    name: str  # hashed; the folder of the results
    identity: str  # hash of study, model, options and formats
    series: tuple[tuple[Path, ...], ...]  # per channel
    volume: Volume
    mask: Array  # (X, Y[, Z]) on the grid of the volume
    card: Card
    model: Mapping[str, Any]
    model_sha256: str
    options: str  # that decide the mask, besides the model
    flags: Sequence[Mapping[str, Any]]

    @cached_property
    def stored_mask(self) -> Array:
        """The mask as the scan is stored, slices whole in memory: they are written one by one."""
        turned = self.volume.grid.from_ras(self.mask)
        stored = np.empty(turned.shape, turned.dtype, order="F")
        for start in range(0, len(turned), COLUMNS_AT_ONCE):
            columns = slice(start, start + COLUMNS_AT_ONCE)
            stored[columns] = turned[columns]
        return stored

    @cached_property
    def reference(self) -> ScanReference:
        """The series that DICOM results belong to; DataError where the scan is not such a series."""
        grid = self.volume.grid
        return ScanReference.of(self.series[0], grid, grid.origins if isinstance(grid, PlaneGrid) else None)
