"""One door to all formats: look at the content, call the reader that knows it."""

from __future__ import annotations

from pathlib import Path

from medunet.errors import DataError
from medunet.io.dicom import series as dicom
from medunet.io.dicom.geometry import Irregular
from medunet.io.formats import itk, nifti, raster
from medunet.io.sniff import kind_of
from medunet.io.source import Source
from medunet.io.stored import Layout, Stored

HEADERS = (".mhd", ".nhdr", ".mha", ".nrrd")  # endings of files whose voxels may lie beside them
RASTER = ("png", "jpeg", "tiff")


def layout_of(
    source: Source,
    *,
    pixel_mm: float | None = None,
    any_grid: bool = False,
    irregular: Irregular = "error",
) -> Layout:
    """Return what the header of one source declares."""
    kind = "dicom" if source.slices else kind_of(source.path)
    if kind == "dicom":
        return dicom.read_layout(source, any_grid=any_grid, irregular=irregular)
    if kind == "nifti":
        return nifti.read_layout(source.path, any_grid=any_grid)
    if kind in RASTER:
        return raster.read_layout(source.path, kind, pixel_mm=pixel_mm)
    return itk.read_layout(source.path, kind, any_grid=any_grid)


def stored_of(
    source: Source,
    *,
    pixel_mm: float | None = None,
    any_grid: bool = False,
    indices: bool = False,
    irregular: Irregular = "error",
) -> Stored:
    """Return the voxels of one source in its own axis order and data type."""
    kind = "dicom" if source.slices else kind_of(source.path)
    if kind == "dicom":
        return dicom.read_stored(source, any_grid=any_grid, irregular=irregular)
    if kind == "nifti":
        return nifti.read_stored(source.path, any_grid=any_grid)
    if kind in RASTER:
        return raster.read_stored(source.path, kind, pixel_mm=pixel_mm, indices=indices)
    return itk.read_stored(source.path, kind, any_grid=any_grid)


def source_of(path: Path) -> Source:
    """Return the image behind a path: a file, or the one volume in a folder of DICOM files."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if path.is_dir() or kind_of(path) == "dicom":
        return dicom.only_source(path)
    return Source(path, (path,), path.name)


def with_voxel_files(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the files of a source, and the one that holds the voxels of a detached MHD or NRRD header."""
    if files[0].suffix.lower() not in HEADERS or (kind := kind_of(files[0])) not in ("meta", "nrrd"):
        return files
    return tuple(dict.fromkeys((*files, itk.voxel_file(files[0], kind))))
