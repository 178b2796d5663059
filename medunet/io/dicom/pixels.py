"""Decode one image plane to what its header means: stored bits, MONOCHROME1, slope and intercept."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from medunet.errors import DataError
from medunet.io.dicom.codestream import check_codestream
from medunet.io.dicom.file import PARSE_ERRORS, first_line, read_dataset
from medunet.io.dicom.headers import Slice
from medunet.io.limits import check_declared


class Decoder:
    """Decodes planes; keeps the last file open in memory, so that a file of many frames is parsed once."""

    def __init__(self) -> None:
        """Start with no file open."""
        self._path: Path | None = None
        self._dataset = Dataset()

    def values(self, plane: Slice) -> NDArray[np.float32]:
        """Return (rows, columns) of rescaled values, such as HU."""
        out = np.empty((plane.rows, plane.columns), np.float32)
        self.into(out, plane)
        return out

    def into(self, out: NDArray[np.float32], plane: Slice) -> None:
        """Write the rescaled values of a plane into (rows, columns)."""
        if plane.slope == 0 or not np.isfinite([plane.slope, plane.intercept]).all():
            raise DataError(
                f"{plane.path}: RescaleSlope is {plane.slope:g}: no values follow from it; export it again"
            )
        native = _native(plane)
        stored = self._meant(plane, self._stored(plane) if native is None else native)
        if stored.shape != out.shape:
            raise DataError(
                f"{plane.path}: found pixels {stored.shape[::-1]}; expected {plane.columns} x {plane.rows}"
            )
        np.multiply(stored, np.float32(plane.slope), out=out, casting="unsafe")
        if plane.intercept:
            out += np.float32(plane.intercept)

    def _stored(self, plane: Slice) -> NDArray[Any]:
        shape = (plane.rows, plane.columns)
        check_declared(plane.path, shape, plane.bits_allocated / 8, stored_bytes=None, deflated=False)
        try:
            if self._path != plane.path:
                self._dataset, self._path = read_dataset(plane.path), plane.path
            if not self._dataset.get("PixelData"):
                raise DataError(f"{plane.path}: the file holds no pixels; fetch it again")
            if UID(plane.syntax).is_encapsulated:
                return _decoded(_frame(self._dataset, plane.frame), plane)
            return np.asarray(pixel_array(self._dataset, index=plane.frame, raw=True))
        except (*PARSE_ERRORS, RuntimeError) as error:
            raise DataError(
                f"{plane.path}: the pixels are damaged or cut short ({first_line(error)}); fetch it again"
            ) from error

    def _meant(self, plane: Slice, stored: NDArray[Any]) -> NDArray[Any]:
        """Return the stored numbers, of a projection in MONOCHROME1 turned round; unused bits are clear."""
        if not plane.inverted:
            return stored
        top = -1 if plane.signed else 2**plane.bits_stored - 1  # lowest + highest value
        return top - stored.astype(np.int64)


def _native(plane: Slice) -> NDArray[Any] | None:
    """Return uncompressed pixels straight from their place in the file; None where they are coded otherwise.

    Only the stored bits count (DICOM PS3.5 8.1.1): others may hold anything.
    """
    if plane.pixels_at is None or plane.syntax not in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        return None
    first, length = plane.pixels_at
    dtype = np.dtype(f"<{'i' if plane.signed else 'u'}{plane.bits_allocated // 8}")
    count = plane.rows * plane.columns
    start = plane.frame * count * dtype.itemsize
    if start + count * dtype.itemsize > length:
        raise DataError(
            f"{plane.path}: the pixels are damaged or cut short ({length} bytes are declared for frame "
            f"{plane.frame + 1} of {plane.columns} x {plane.rows})"
        )
    try:
        pixels = np.fromfile(plane.path, dtype, count, offset=first + start)
    except OSError as error:
        raise DataError(f"{plane.path}: cannot be read ({error.strerror or error})") from error
    if len(pixels) < count:
        raise DataError(
            f"{plane.path}: the pixels are damaged or cut short ({len(pixels)} of {count} are there)"
        )
    unused = plane.bits_allocated - plane.bits_stored
    if unused:
        pixels = (pixels << unused) >> unused
    return pixels.reshape(plane.rows, plane.columns)


def _frame(dataset: Dataset, index: int) -> bytes:
    """Return the compressed bytes of one frame (DICOM PS3.5 A.4)."""
    offsets = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    return get_frame(
        dataset.PixelData,
        index,
        number_of_frames=int(dataset.get("NumberOfFrames") or 1),
        extended_offsets=offsets if all(offsets) else None,
    )


def _decoded(frame: bytes, plane: Slice) -> NDArray[Any]:
    """Decode a compressed frame by pydicom, else by GDCM (JPEG lossless, 12-bit JPEG)."""
    check_codestream(frame, plane)
    alone = _alone(frame, plane)
    try:
        # not validated: the bytes are counted there, and a small frame may have as many as its pixels
        return np.asarray(get_decoder(plane.syntax).as_array(alone, index=0, raw=True, validate=False)[0])
    except (*PARSE_ERRORS, RuntimeError) as cause:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "plane.dcm"
            alone.save_as(file, enforce_file_format=True)
            try:
                image = SimpleITK.ReadImage(str(file), imageIO="GDCMImageIO")
            except RuntimeError as error:
                raise DataError(
                    f"{plane.path}: the pixels cannot be decoded ({UID(plane.syntax).name}: "
                    f"{first_line(cause)})"
                ) from error
        return np.asarray(SimpleITK.GetArrayFromImage(image)[0])


def _alone(frame: bytes, plane: Slice) -> Dataset:
    """Return one frame as a file of its own, without slope, geometry and patient.

    MONOCHROME2 whatever it is, as GDCM turns the other one round.
    """
    alone = Dataset()
    alone.Rows, alone.Columns, alone.SamplesPerPixel = plane.rows, plane.columns, 1
    alone.BitsAllocated, alone.BitsStored = plane.bits_allocated, plane.bits_stored
    alone.HighBit = plane.bits_stored - 1
    alone.PixelRepresentation, alone.PhotometricInterpretation = int(plane.signed), "MONOCHROME2"
    alone.PixelData = encapsulate([frame], has_bot=False)
    alone["PixelData"].VR, alone["PixelData"].is_undefined_length = "OB", True
    alone.SOPClassUID = SecondaryCaptureImageStorage
    alone.SOPInstanceUID = generate_uid(entropy_srcs=["medunet"])
    alone.file_meta = FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = UID(plane.syntax)
    alone.file_meta.MediaStorageSOPClassUID = alone.SOPClassUID
    alone.file_meta.MediaStorageSOPInstanceUID = alone.SOPInstanceUID
    return alone
