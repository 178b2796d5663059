"""Where the frames of a DICOM object lie: a plain slice, or each frame of a multi-frame object.

Positions are LPS mm in the file (PS3.3 C.7.6.2.1.1, C.7.6.16); `Plane` gives them in RAS mm too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

Vector = NDArray[np.float64]
LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


@dataclass(frozen=True)
class Plane:
    """One frame in space, as its header says (LPS mm), and in RAS mm."""

    position_lps: tuple[float, ...]  # centre of the first pixel
    cosines_lps: tuple[float, ...]  # along a row, then along a column
    spacing_mm: tuple[float, ...]  # between rows, between columns

    @property
    def origin_mm(self) -> Vector:
        """The centre of the first pixel, RAS mm."""
        return np.array(self.position_lps) * LPS_TO_RAS

    @property
    def steps_mm(self) -> Vector:
        """The steps to the next column and to the next row, RAS mm, as the columns of (3, 2)."""
        cosines = np.array(self.cosines_lps).reshape(2, 3) * LPS_TO_RAS
        return np.asarray(cosines.T * self.spacing_mm[::-1])


def functional(dataset: Dataset, frame: int, sequence: str, keyword: str) -> Any:
    """Return a value of a frame (from 0): of its own group, else the shared one, else the root; or None."""
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    groups = [own[frame]] if frame < len(own) else []
    for group in (*groups, *(dataset.get("SharedFunctionalGroupsSequence") or [])):
        for item in group.get(sequence) or []:
            if (value := item.get(keyword)) not in (None, ""):
                return value
    return dataset.get(keyword)


def plane_of(dataset: Dataset, frame: int = 0) -> Plane | None:
    """Return where a frame lies, None where the file does not say; ValueError for numbers that are none."""
    position = functional(dataset, frame, "PlanePositionSequence", "ImagePositionPatient")
    orientation = functional(dataset, frame, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = functional(dataset, frame, "PixelMeasuresSequence", "PixelSpacing")
    if not position or not orientation or not spacing:
        return None
    return Plane(_numbers(position, 3), _numbers(orientation, 6), _numbers(spacing, 2))


def _numbers(values: Sequence[Any], count: int) -> tuple[float, ...]:
    found = tuple(float(value) for value in values)
    if len(found) != count or not np.isfinite(found).all():
        raise ValueError(f"{len(found)} numbers where {count} finite ones belong")
    return found
