from __future__ import annotations
from pathlib import Path
from medunet.errors import DataError
from medunet.io.stored import Layout, Stored
def read_layout(files: tuple[Path, ...], *, any_grid: bool = False) -> Layout:
    raise DataError(f"{files[0]}: DICOM comes")
def read_stored(files: tuple[Path, ...], *, any_grid: bool = False) -> Stored:
    raise DataError(f"{files[0]}: DICOM comes")
def only_series(folder: Path) -> tuple[Path, ...]:
    raise DataError(f"{folder}: DICOM comes")
def series_of(files: list[Path]) -> tuple[list[tuple[str, tuple[Path, ...]]], list[tuple[Path, str]]]:
    return [], [(f, "DICOM comes") for f in files]
