"""NIfTI-1 and NIfTI-2, plain or gzipped, read from one file; nibabel reads the header, we read the voxels."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import IO, Any

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from medunet.errors import DataError
from medunet.geometry import Affine
from medunet.io.limits import check_affine, check_declared, rounded
from medunet.io.stored import SYNTHETIC, Layout, Stored
from medunet.io.volume import Array

LONGEST_EXTENSION = 2**26  # bytes between header and voxels
CHUNK = 2**22
DAMAGED: tuple[type[Exception], ...] = (OSError, EOFError, isal_zlib.error)  # type: ignore[assignment]
DISAGREE_MM = 0.5  # between sform and qform, at a corner
UNIT_MM = {1: ("metre", 1e3), 3: ("micrometre", 1e-3)}  # codes of xyzt_units; 2 is mm, 0 says nothing


def read_layout(path: Path, *, any_grid: bool = False) -> Layout:
    """Return the declared grid; DataError for a header that cannot be true."""
    header, zipped = _header(path)
    dtype = _dtype(path, header)
    shape, channels = _axes(path, header)
    _check_size(path, header, zipped, (*shape, channels), dtype)
    affine, warnings = _affine(path, header, len(shape))
    in_space = _in_space(header) if len(shape) == 2 else None
    unit, in_mm = UNIT_MM.get(int(header["xyzt_units"]) & 7, ("", 1.0))
    if unit:
        for one in (affine, *([] if in_space is None else [in_space])):
            one[:-1] *= in_mm
        warnings.append(f"the header counts in {unit}s: read, and masks written, in mm")
    warnings = [*warnings, *check_affine(path, affine, any_grid=any_grid)]
    if zipped and path.suffix != ".gz":
        warnings.append("gzip content under a name without .gz: rename the file")
    layout = Layout(
        shape, affine, channels, dtype.name, "nifti", warnings=tuple(warnings), header_affine=in_space
    )
    return layout.marked(synthetic=SYNTHETIC.encode() in header["descrip"].item())


def read_stored(path: Path, *, any_grid: bool = False) -> Stored:
    """Return the voxels, scaled by the header's slope and intercept, as (*spatial, channels)."""
    layout = read_layout(path, any_grid=any_grid)
    header, zipped = _header(path)
    dtype = header.get_data_dtype()
    shape = (*layout.shape, layout.channels)
    data = np.empty(math.prod(shape), dtype)
    with _open(path, zipped) as stream:
        _fill(path, stream, int(header["vox_offset"]), data)
    array = _scaled(path, header, data.reshape(shape, order="F"))
    return Stored(array, layout, path)


def _open(path: Path, zipped: bool) -> IO[bytes]:
    return igzip.open(path, "rb") if zipped else path.open("rb")


def _header(path: Path) -> tuple[Any, bool]:
    with path.open("rb") as stream:
        zipped = stream.read(2) == b"\x1f\x8b"
    try:
        with _open(path, zipped) as stream:
            block = stream.read(540)
    except DAMAGED as error:
        raise DataError(
            f"{path}: the gzip content is cut short or damaged ({error}); fetch the file again"
        ) from error
    order = "<" if int.from_bytes(block[:4], "little") in (348, 540) else ">"
    kind = nib.Nifti2Header if 540 in struct.unpack(order + "i", block[:4]) else nib.Nifti1Header
    try:
        header = kind(block[: kind.sizeof_hdr], endianness=order, check=False)  # type: ignore[no-untyped-call]
    except (HeaderDataError, ValueError) as error:
        raise DataError(f"{path}: the NIfTI header cannot be read ({error})") from error
    _check_magic(path, header)
    return header, zipped


def _check_magic(path: Path, header: Any) -> None:
    magic = bytes(header["magic"].item())
    if magic[:3] in (b"ni1", b"ni2"):
        raise DataError(f"{path}: a NIfTI pair (.hdr and .img) is not read; save it as one .nii.gz file")
    if magic[:3] not in (b"n+1", b"n+2"):
        raise DataError(f"{path}: not NIfTI (magic {magic!r}; expected b'n+1' or b'n+2')")


def _dtype(path: Path, header: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise DataError(f"{path}: unknown data type code {int(header['datatype'])}") from error
    if dtype.fields is not None or dtype.kind == "c":
        what = "colour (RGB24/RGBA32)" if dtype.fields is not None else f"complex ({dtype.name})"
        raise DataError(f"{path}: the voxels are {what}; expected one real number per voxel and channel")
    if dtype.kind not in "iuf":
        raise DataError(f"{path}: voxels of type {dtype} are not read")
    return dtype


def _axes(path: Path, header: Any) -> tuple[tuple[int, ...], int]:
    """Return the spatial shape and the number of channels."""
    dim = [int(n) for n in header["dim"]]
    if not 1 <= dim[0] <= 7 or any(n < 1 for n in dim[1 : dim[0] + 1]):
        raise DataError(f"{path}: the header declares dim = {dim}; expected 1 to 7 axes of at least 1 voxel")
    shape = dim[1 : dim[0] + 1]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) < 2:
        raise DataError(f"{path}: found {len(shape)} axis; expected an image of 2 or 3 axes")
    if len(shape) == 5 and shape[3] == 1:
        raise DataError(
            f"{path}: found vectors of {shape[4]} numbers per voxel {tuple(shape)}; expected a scan"
        )
    if len(shape) > 4:
        raise DataError(
            f"{path}: found {len(shape)} axes {tuple(shape)}; expected 3 (or 4 with channels last)"
        )
    return tuple(shape[:3]), shape[3] if len(shape) == 4 else 1


def _check_size(path: Path, header: Any, zipped: bool, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    offset, size = float(header["vox_offset"]), path.stat().st_size
    lowest = int(header.sizeof_hdr) + 4
    if not np.isfinite(offset) or offset < lowest or offset > lowest + LONGEST_EXTENSION:
        raise DataError(
            f"{path}: voxels are said to start at byte {offset:.4g}; expected {lowest} or a little more"
        )
    stored = size if zipped else max(size - int(offset), 0)
    check_declared(path, shape, dtype.itemsize, stored_bytes=stored, deflated=zipped)


def _affine(path: Path, header: Any, dims: int) -> tuple[Affine, list[str]]:
    pixdim = np.asarray(header["pixdim"][1 : dims + 1], float)
    if dims == 2:
        edges = np.where(pixdim > 0, pixdim, 1.0)
        return np.diag([*edges, 1.0]), ["a 2D NIfTI file: its axes are kept as stored"]
    warnings = []
    coded = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if not (pixdim > 0).all():
        warnings.append(f"pixdim {rounded(tuple(pixdim))} holds no valid voxel edges: the sform is used")
    try:
        affine = np.asarray(header.get_best_affine(), float)
        other = np.asarray(header.get_qform(), float) if coded == (True, True) else affine
    except (HeaderDataError, ValueError, np.linalg.LinAlgError) as error:
        if not coded[0]:
            raise DataError(f"{path}: the qform of the header is not valid ({error})") from error
        other = affine = np.asarray(header.get_sform(), float)
        warnings.append(f"the qform is not valid ({error}): the sform is used")
    if not any(coded):
        warnings.append("no orientation codes (sform and qform 0): left and right are not known for certain")
    elif (gap := _corner_gap(header, affine, other)) > DISAGREE_MM:
        warnings.append(f"sform and qform disagree by {gap:.3g} mm at a corner: the sform is used")
    return affine, warnings


def _in_space(header: Any) -> Affine | None:
    """Return the (4, 4) affine of a 2D file, so that its mask can be written where it lies."""
    try:
        affine = np.asarray(header.get_best_affine(), float)
    except (HeaderDataError, ValueError, np.linalg.LinAlgError):
        return None
    return affine if np.isfinite(affine).all() and np.linalg.det(affine) != 0 else None


def _corner_gap(header: Any, first: Affine, second: Affine) -> float:
    ends = np.asarray(header["dim"][1:4], float) - 1
    corners = np.array(np.meshgrid(*[(0.0, end) for end in ends])).reshape(3, -1)
    difference: NDArray[np.float64] = (first - second)[:3, :3] @ corners + (first - second)[:3, 3:]
    return float(np.linalg.norm(difference, axis=0).max()) if np.isfinite(second).all() else 0.0


def _fill(path: Path, stream: IO[bytes], offset: int, data: Array) -> None:
    """Read exactly the declared bytes into data, then let gzip check its sum if the file ends there."""
    view = memoryview(data.view(np.uint8))  # type: ignore[arg-type]
    done = 0
    try:
        stream.seek(offset)
        while done < len(view):
            piece = stream.readinto(view[done : done + CHUNK])  # type: ignore[attr-defined]
            if not piece:
                raise EOFError(f"{done} of {len(view)} bytes of voxels are there")
            done += piece
        stream.read(1)
    except DAMAGED as error:
        raise DataError(f"{path}: the file is cut short or damaged ({error}); fetch it again") from error


def _scaled(path: Path, header: Any, data: Array) -> Array:
    try:
        slope, intercept = header.get_slope_inter()
    except HeaderDataError as error:
        raise DataError(f"{path}: slope and intercept of the header are not valid ({error})") from error
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    if slope is None or (slope == 1 and not intercept):
        return data
    wide = np.dtype(np.float32 if data.dtype.itemsize <= 2 else np.float64)
    return np.asarray(data.astype(wide) * wide.type(slope) + wide.type(intercept or 0.0))
