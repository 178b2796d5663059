"""One door to all formats: look at the content, call the reader that knows it."""

from __future__ import annotations

from pathlib import Path

from medunet.errors import DataError
from medunet.io import dicom, itk, nifti, raster
from medunet.io.sniff import kind_of
from medunet.io.stored import Layout, Stored

HEADERS = (".mhd", ".nhdr", ".mha", ".nrrd")  # endings of files whose voxels may lie beside them
RASTER = ("png", "jpeg", "tiff")


def layout_of(files: tuple[Path, ...], *, pixel_mm: float | None = None, any_grid: bool = False) -> Layout:
    """Return what the header of one source declares; several files are the slices of one DICOM series."""
    kind = "dicom" if len(files) > 1 else kind_of(files[0])
    if kind == "dicom":
        return dicom.read_layout(files, any_grid=any_grid)
    path = files[0]
    if kind == "nifti":
        return nifti.read_layout(path, any_grid=any_grid)
    if kind in RASTER:
        return raster.read_layout(path, kind, pixel_mm=pixel_mm)
    return itk.read_layout(path, kind, any_grid=any_grid)


def stored_of(
    files: tuple[Path, ...], *, pixel_mm: float | None = None, any_grid: bool = False, indices: bool = False
) -> Stored:
    """Return the voxels of one source in its own axis order and data type."""
    kind = "dicom" if len(files) > 1 else kind_of(files[0])
    if kind == "dicom":
        return dicom.read_stored(files, any_grid=any_grid)
    path = files[0]
    if kind == "nifti":
        return nifti.read_stored(path, any_grid=any_grid)
    if kind in RASTER:
        return raster.read_stored(path, kind, pixel_mm=pixel_mm, indices=indices)
    return itk.read_stored(path, kind, any_grid=any_grid)


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files behind a path: the file, or the slices of the one series in a folder."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if path.is_dir():
        return dicom.only_series(path)
    return (path,)


def with_voxel_files(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the files of a source, and the one that holds the voxels of a detached MHD or NRRD header."""
    if files[0].suffix.lower() not in HEADERS or (kind := kind_of(files[0])) not in ("meta", "nrrd"):
        return files
    return tuple(dict.fromkeys((*files, itk.voxel_file(files[0], kind))))
