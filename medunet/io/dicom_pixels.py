"""Decode one image plane to what its header means: stored bits, MONOCHROME1, slope and intercept."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from medunet.errors import DataError
from medunet.io.dicom_headers import PARSE_ERRORS, Slice, read_dataset

_PIXEL_TAGS = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
    "PhotometricInterpretation", "NumberOfFrames", "PixelData",
)  # fmt: skip


class Decoder:
    """Decodes planes; keeps the last file open in memory, so that a file of many frames is parsed once."""

    def __init__(self) -> None:
        """Start with no file open."""
        self._path: Path | None = None
        self._dataset = Dataset()

    def values(self, plane: Slice) -> NDArray[np.float32]:
        """Return (rows, columns) of rescaled values, such as HU."""
        stored = self._meant(plane, self._stored(plane))
        if stored.shape != (plane.rows, plane.columns):
            raise DataError(
                f"{plane.path}: found pixels {stored.shape[::-1]}; expected {plane.columns} x {plane.rows}"
            )
        if plane.slope == 0 or not np.isfinite([plane.slope, plane.intercept]).all():
            raise DataError(
                f"{plane.path}: RescaleSlope is {plane.slope:g}: no values follow from it; export it again"
            )
        values = stored.astype(np.float32)
        if (plane.slope, plane.intercept) != (1.0, 0.0):
            values = values * np.float32(plane.slope) + np.float32(plane.intercept)
        return np.asarray(values)

    def _stored(self, plane: Slice) -> NDArray[Any]:
        try:
            if self._path != plane.path:
                self._dataset, self._path = read_dataset(plane.path), plane.path
            if not self._dataset.get("PixelData"):
                raise DataError(f"{plane.path}: the file holds no pixels; fetch it again")
        except PARSE_ERRORS as error:
            raise DataError(f"{plane.path}: the DICOM file is damaged ({error}); fetch it again") from error
        try:
            return np.asarray(pixel_array(self._dataset, index=plane.frame, raw=True))
        except (*PARSE_ERRORS, RuntimeError) as error:
            if not self._dataset.file_meta.TransferSyntaxUID.is_encapsulated:
                raise DataError(
                    f"{plane.path}: the pixels are damaged or cut short ({_first_line(error)})"
                ) from error
            return _by_gdcm(self._dataset, plane, error)

    def _meant(self, plane: Slice, stored: NDArray[Any]) -> NDArray[Any]:
        """Return the stored numbers with MONOCHROME1 turned round; pydicom has cleared unused bits."""
        if not plane.inverted:
            return stored
        top = -1 if plane.signed else 2**plane.bits_stored - 1  # lowest + highest value
        return top - stored.astype(np.int64)


def _by_gdcm(dataset: Dataset, plane: Slice, cause: BaseException) -> NDArray[Any]:
    """Decode by GDCM (JPEG lossless, 12-bit JPEG) from a copy without slope and geometry."""
    copy = Dataset()
    for tag in _PIXEL_TAGS:
        if tag in dataset:
            copy[tag] = dataset[tag]
    copy.SOPClassUID, copy.SOPInstanceUID = (
        SecondaryCaptureImageStorage,
        generate_uid(entropy_srcs=["medunet"]),
    )
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    copy.file_meta.MediaStorageSOPClassUID = copy.SOPClassUID
    copy.file_meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plane.dcm"
        copy.save_as(file, enforce_file_format=True)
        try:
            frames = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file), imageIO="GDCMImageIO"))
        except RuntimeError as error:
            raise DataError(
                f"{plane.path}: the pixels cannot be decoded ({dataset.file_meta.TransferSyntaxUID.name}: "
                f"{_first_line(cause)})"
            ) from error
    return np.asarray(frames[plane.frame])


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
