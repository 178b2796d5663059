"""One image to read, and what was left out of a listing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medunet.io.dicom.headers import Slice


@dataclass(frozen=True)
class Source:
    """One image to read: a file, or the slices of one volume of a DICOM series."""

    path: Path  # the file; the folder that holds all of a series
    files: tuple[Path, ...]
    name: str  # for outputs, told apart within one listing
    slices: tuple[Slice, ...] = ()  # DICOM only: which images of the files
    part: str = ""  # which volume of its series, where there are several, such as b1000
    said: tuple[str, ...] = ()  # what was done to find it, for the user
    study: str = ""  # DICOM only: hash of the study's UID, equal for the series of one study

    def __str__(self) -> str:
        """Return the path, and the part where the path holds several."""
        return f"{self.path} ({self.part})" if self.part else str(self.path)


@dataclass(frozen=True)
class Skipped:
    """A path that is no readable image, and why."""

    path: Path
    reason: str
