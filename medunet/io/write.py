"""Masks and images to files: on the source's own grid, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import SimpleITK
import tifffile
from isal import igzip
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from medunet.errors import DataError
from medunet.geometry import Affine, axis_skew
from medunet.io.rights import give_rights
from medunet.io.stored import SYNTHETIC
from medunet.io.volume import Array, Volume

MARKED = (".nii.gz", ".nii", ".png", ".tif", ".tiff")  # formats whose header takes a note
ENDINGS = (".nii.gz", ".nii", ".mha", ".nrrd", ".png", ".tif", ".tiff")
QFORM_SKEW = 1e-3  # cosine between two axes above which a qform, which knows no shear, would be wrong
GZIP_LEVEL = 2  # of ISA-L: 3 makes masks larger and slower, 1 images larger


def write_mask(path: Path, array: Array, like: Volume) -> None:
    """Write a mask (X, Y[, Z]) of whole numbers, RAS+ as `like`, on the grid and axis order of like's file.

    The type is the smallest unsigned one that holds the largest label; the format follows the ending. Planes
    at uneven distances fit no such file: their mask lies on the right-angled grid they were resampled to.
    """
    if array.shape != like.shape:
        raise DataError(f"{path}: the mask has the shape {array.shape}; expected {like.shape} as {like.path}")
    mask = _smallest(path, array)
    if not like.grid.is_affine:
        _write(path, np.ascontiguousarray(mask), like.affine)
        return
    stored = np.ascontiguousarray(like.grid.from_ras(mask))
    _write(path, stored, like.grid.affine, like.grid.header_affine)


def write_image(path: Path, array: Array, affine: Affine, *, note: str = "") -> None:
    """Write an image (C, X, Y[, Z]) or (X, Y[, Z]) with its affine (voxel -> RAS mm), in its own type.

    note: plain words for the header; of NIfTI the first 80 characters, of MHA and NRRD none.
    """
    dims = affine.shape[0] - 1
    if array.ndim not in (dims, dims + 1):
        raise DataError(f"{path}: an image of shape {array.shape} does not fit an affine of {dims} axes")
    stored = np.moveaxis(array, 0, -1) if array.ndim == dims + 1 else array
    if stored.ndim == dims + 1 and stored.shape[-1] == 1:
        stored = stored[..., 0]
    _write(path, np.ascontiguousarray(stored), affine, note=note)


def write_synthetic_image(
    path: Path, array: Array, affine: Affine, text: str = "", sidecar: Mapping[str, Any] | None = None
) -> None:
    """Write a generated image or mask as `write_image` does, marked as synthetic in its header.

    NIfTI says it in `descrip`, PNG in the chunks Warning and Description, TIFF in ImageDescription. `text`
    follows the mark; `sidecar` becomes the JSON file of the same name. The same call writes the same bytes.
    DataError for a format that has no place for the mark.
    """
    ending = next((e for e in MARKED if path.name.lower().endswith(e)), None)
    if ending is None:
        raise DataError(f"{path}: a synthetic image must say so; expected one of {', '.join(MARKED)}")
    if sidecar is not None:
        beside = path.with_name(f"{path.name[: -len(ending)]}.json")
        with write_atomic(beside) as temporary:
            facts = {"Synthetic": True, "Description": SYNTHETIC, **sidecar}
            temporary.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    write_image(path, array, affine, note=f"{SYNTHETIC}; {text}".rstrip("; "))


@contextmanager
def write_atomic(path: Path, needed_bytes: int = 0) -> Iterator[Path]:
    """Give a temporary path in the same folder, with the same ending; move it to path if all went well.

    A full disk or a folder that cannot be written to becomes a DataError, and nothing is left under path.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=f"-{path.name}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        _settle(temporary, path)
    except OSError as error:
        raise DataError(_reason(path, needed_bytes, error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _settle(temporary: Path, path: Path) -> None:
    """Make the file durable and give it its final name, with the rights a new file would have."""
    with temporary.open("rb+") as stream:
        os.fsync(stream.fileno())
    give_rights(temporary)
    temporary.replace(path)


def _reason(path: Path, needed_bytes: int, error: Exception) -> str:
    folder = next((p for p in path.parents if p.exists()), Path())
    try:
        free = f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are free"
    except OSError:
        free = "the free space is not known"
    return (
        f"{path}: cannot be written ({error}); it needs up to {needed_bytes / 1e6:.1f} MB, {free}. "
        "Make room, or name a folder that you may write to"
    )


def _smallest(path: Path, array: Array) -> Array:
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind not in "iu":
        raise DataError(f"{path}: a mask of type {array.dtype} cannot be written; expected whole numbers")
    if array.size and array.min() < 0:
        raise DataError(f"{path}: a mask must not be negative; found {array.min()}")
    largest = int(array.max()) if array.size else 0
    return array.astype(np.min_scalar_type(largest), copy=False)


def _write(
    path: Path, stored: Array, affine: Affine, in_space: Affine | None = None, *, note: str = ""
) -> None:
    """Write an array in stored order: (*spatial) or (*spatial, channels)."""
    ending = next((e for e in ENDINGS if path.name.lower().endswith(e)), None)
    if ending is None:
        raise DataError(f"{path}: unknown ending; expected one of {', '.join(ENDINGS)}")
    dims = affine.shape[0] - 1
    if ending in (".png", ".tif", ".tiff") and dims == 3:
        raise DataError(f"{path}: a 3D array does not fit into {ending}; use .nii.gz, .mha or .nrrd")
    with write_atomic(path, stored.nbytes) as temporary:
        if ending.startswith(".nii"):
            _nifti(temporary, stored, affine, in_space, zipped=ending == ".nii.gz", note=note)
        elif ending in (".mha", ".nrrd"):
            _itk(temporary, stored, affine, in_space)
        else:
            _raster(path, temporary, stored, ending, note)


def _nifti(
    path: Path, stored: Array, affine: Affine, in_space: Affine | None, *, zipped: bool, note: str
) -> None:
    dims = affine.shape[0] - 1
    full = np.eye(4)
    full[:dims, :dims], full[:dims, 3] = affine[:dims, :dims], affine[:dims, dims]
    if in_space is not None and len(in_space) == 4:
        full = in_space
    if dims == 2 and stored.ndim == 3:
        stored = stored[:, :, None, :]
    image = nib.Nifti1Image(stored, full, dtype=stored.dtype)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = note.encode("ascii", "replace")[:80]
    image.set_sform(full, 1)
    if axis_skew(full) > QFORM_SKEW:
        image.set_qform(None, 0)  # readers that know no sform must refuse, not read a turned image
    else:
        image.set_qform(full, 1)
    # mtime and name stay out of the gzip header: the same mask gives the same bytes
    with path.open("wb") as raw:
        if zipped:
            with igzip.IGzipFile("", "wb", GZIP_LEVEL, raw, mtime=0) as stream:
                image.to_stream(stream)
        else:
            image.to_stream(raw)


def _itk(path: Path, stored: Array, affine: Affine, in_space: Affine | None) -> None:
    dims = affine.shape[0] - 1
    vector = stored.ndim == dims + 1
    axes = (*reversed(range(dims)), *((dims,) if vector else ()))
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(np.transpose(stored, axes)), isVector=vector)
    lps = np.array(affine, float)
    if dims == 3:
        lps[:2] *= -1.0
    elif in_space is not None and len(in_space) == 3:
        lps = in_space
    spacing = np.linalg.norm(lps[:dims, :dims], axis=0)
    image.SetSpacing([float(edge) for edge in spacing])
    image.SetOrigin([float(x) for x in lps[:dims, dims]])
    image.SetDirection([float(x) for x in (lps[:dims, :dims] / spacing).ravel()])
    _write_itk(image, path, compress=True)


def _write_itk(image: SimpleITK.Image, path: Path, *, compress: bool) -> None:
    try:
        SimpleITK.WriteImage(image, str(path), useCompression=compress)
    except RuntimeError as error:
        raise OSError(str(error).strip().splitlines()[-1]) from error


def _raster(path: Path, temporary: Path, stored: Array, ending: str, note: str) -> None:
    pixels = np.ascontiguousarray(np.swapaxes(stored, 0, 1))
    if ending != ".png":
        said: dict[str, Any] = {"description": note.encode("ascii", "replace"), "metadata": None}
        tifffile.imwrite(
            temporary, pixels, compression="zlib", photometric=_photometric(pixels), **(said if note else {})
        )
        return
    if pixels.dtype == np.uint16 and pixels.ndim == 3:
        if note:
            raise DataError(f"{path}: 16-bit colour in PNG takes no mark; use .tif")
        _write_itk(SimpleITK.GetImageFromArray(pixels, isVector=True), temporary, compress=False)
        return
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{path}: {pixels.dtype} does not fit into PNG; use .tif, or numbers up to 65535")
    Image.fromarray(pixels).save(temporary, pnginfo=_chunks(note))


def _chunks(note: str) -> PngInfo | None:
    if not note:
        return None
    chunks = PngInfo()
    for key in ("Warning", "Description"):
        chunks.add_text(key, note)
    return chunks


def _photometric(pixels: Array) -> str:
    return "rgb" if pixels.ndim == 3 and pixels.shape[-1] == 3 else "minisblack"
