"""NRRD and MetaImage (MHA, MHD) through SimpleITK, after our own look at the text header."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK

from medunet.errors import DataError
from medunet.geometry import Affine
from medunet.io.limits import check_affine, check_declared
from medunet.io.stored import Layout, Stored

TEXT_BYTES = 2**16
META_KEY = re.compile(rb"(?m)^[ \t]*ElementDataFile[ \t]*=(.*)$")  # ends the header
NRRD_KEY = re.compile(rb"(?im)^data ?file:(.*)$")


def read_layout(path: Path, kind: str, *, any_grid: bool = False) -> Layout:
    """Return the declared grid; DataError for a header that cannot be true."""
    data = voxel_file(path, kind)
    reader = _header(path, kind)
    shape, channels = tuple(int(n) for n in reader.GetSize()), reader.GetNumberOfComponents()
    dtype = _dtype(path, reader.GetPixelID())
    stored = _lps(reader.GetDirection(), reader.GetSpacing(), reader.GetOrigin())
    affine = _ras(stored)
    while len(shape) > 3 and shape[-1] == 1:
        shape, affine = shape[:-1], np.delete(np.delete(affine, -2, 0), -2, 1)
    if len(shape) not in (2, 3):
        raise DataError(f"{path}: found {len(shape)} axes {shape}; expected 2 or 3")
    check_declared(path, (*shape, channels), dtype.itemsize, stored_bytes=data.stat().st_size, deflated=True)
    warnings = check_affine(path, affine, any_grid=any_grid)
    in_space = stored if len(shape) == 2 else None
    return Layout(shape, affine, channels, dtype.name, kind, warnings=tuple(warnings), header_affine=in_space)


def read_stored(path: Path, kind: str, *, any_grid: bool = False) -> Stored:
    """Return the voxels as (*spatial, channels)."""
    layout = read_layout(path, kind, any_grid=any_grid)
    try:
        image = SimpleITK.ReadImage(str(path), imageIO="MetaImageIO" if kind == "meta" else "NrrdImageIO")
    except RuntimeError as error:
        raise DataError(f"{path}: the voxels cannot be read ({_last_line(error)}); fetch it again") from error
    array = SimpleITK.GetArrayFromImage(image)
    if layout.channels == 1:
        array = array[..., None]
    spatial = tuple(reversed(range(array.ndim - 1)))
    array = np.transpose(array, (*spatial, array.ndim - 1))
    return Stored(array.reshape(*layout.shape, layout.channels), layout, path)


def voxel_file(path: Path, kind: str) -> Path:
    """Return the file that holds the voxels: this one, or one beside it; DataError for every other place."""
    if kind == "meta":
        name = _meta_text(path)[1]
        inside = name.upper() == "LOCAL"
    else:
        name = _nrrd_data_file(path)
        inside = not name
    if inside:
        return path
    beside = path.parent / name
    if Path(name).name != name or name.upper().startswith("LIST") or "%" in name:
        raise DataError(
            f"{path}: the voxels are said to lie in {name!r}; only a file in the same folder is read"
        )
    if not beside.is_file():
        raise DataError(f"{path}: the voxel file {name} is not there; put it beside the header")
    return beside


def _header(path: Path, kind: str) -> SimpleITK.ImageFileReader:
    """Return a reader that has read the header."""
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO("MetaImageIO" if kind == "meta" else "NrrdImageIO")
    with tempfile.TemporaryDirectory() as folder:
        reader.SetFileName(str(path))
        if kind == "meta":
            # What MetaIO takes for a part of another line (`Offset = 0 0` of three) it would look for further
            # on, where we do not: given the text up to our key alone, it says that there is none.
            head = Path(folder) / "head.mha"
            head.write_bytes(_meta_text(path)[0])
            reader.SetFileName(str(head))
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise DataError(f"{path}: the header cannot be read ({_last_line(error)})") from error
    return reader


def _meta_text(path: Path) -> tuple[bytes, str]:
    """Return the header of a MetaImage, and the file name that its last line gives."""
    text = _text(path)
    match = META_KEY.search(text)
    if match is None or b"elementdatafile" in text[: match.start()].lower():
        raise DataError(
            f"{path}: the first {TEXT_BYTES >> 10} KiB do not say once and clearly where the voxels lie; "
            "expected a line such as ElementDataFile = LOCAL. Write the file again"
        )
    return text[: match.end()] + b"\n", match[1].strip().decode("utf-8", "replace")


def _nrrd_data_file(path: Path) -> str:
    """Return the file name that a NRRD header gives, or nothing where the voxels follow the header."""
    text = _text(path).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    match = NRRD_KEY.search(text)
    if match is None and b"\n\n" not in text and path.stat().st_size > TEXT_BYTES:
        raise DataError(
            f"{path}: the header does not end within {TEXT_BYTES >> 10} KiB, nor says where the voxels lie; "
            "write the file again"
        )
    return match[1].strip().decode("utf-8", "replace") if match else ""


def _text(path: Path) -> bytes:
    """Return the whole lines at the start of a file."""
    with path.open("rb") as stream:
        text = stream.read(TEXT_BYTES)
    return text if len(text) < TEXT_BYTES else text[: text.rfind(b"\n") + 1]


def _lps(direction: tuple[float, ...], spacing: tuple[float, ...], origin: tuple[float, ...]) -> Affine:
    dims = len(spacing)
    affine = np.eye(dims + 1)
    affine[:dims, :dims] = np.array(direction).reshape(dims, dims) * np.array(spacing)
    affine[:dims, dims] = origin
    return affine


def _ras(lps: Affine) -> Affine:
    if len(lps) == 3:  # a picture: axes as stored
        return np.diag([*np.linalg.norm(lps[:2, :2], axis=0), 1.0])
    return np.concatenate([-lps[:2], lps[2:]])


def _dtype(path: Path, pixel_id: int) -> np.dtype[np.generic]:
    name = SimpleITK.GetPixelIDValueAsString(pixel_id)
    names = {"float": "float32"}
    match = re.search(r"(\d+)-bit (unsigned|signed) integer|(\d+)-bit float", name)
    if match is None or "complex" in name:
        raise DataError(f"{path}: voxels of type {names.get(name, name)} are not read; expected real numbers")
    if match[3]:
        return np.dtype(f"float{match[3]}")
    return np.dtype(f"{'u' if match[2] == 'unsigned' else ''}int{match[1]}")


def _last_line(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[-1].strip()
