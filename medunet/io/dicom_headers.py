"""One pass over DICOM headers: each image plane becomes a `Slice`, in LPS millimetres."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from medunet.errors import DataError
from medunet.io.limits import MAX_VOXELS

pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE  # what we use, we check ourselves
LARGEST_INFLATED = 2**29  # bytes of a deflated data set
PARSE_ERRORS = (
    InvalidDicomError,
    BytesLengthException,
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    struct.error,
    zlib.error,
)
FLAT = ("CR", "DX", "IO", "MG", "PX", "RF", "US", "XA")  # projections: pictures without a place in the body
_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "SeriesInstanceUID", "SeriesNumber", "FrameOfReferenceUID",
    "ImageType", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing",
    "SliceThickness", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel",
    "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "RescaleSlope", "RescaleIntercept", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
_IMAGE_TAGS = ("Rows", "Columns", "BitsAllocated", "PixelRepresentation", "PhotometricInterpretation")


class NotAnImageError(Exception):
    """A sound DICOM file that holds no scan, and what it holds."""


@dataclass(frozen=True)
class Slice:
    """One image plane as its header describes it; positions in LPS mm."""

    path: Path
    frame: int  # within the file
    syntax: str
    series: str
    series_number: int
    sop: str
    modality: str
    image_type: tuple[str, ...]
    position_mm: tuple[float, ...] | None  # None for projections
    orientation: tuple[float, ...] | None  # cosines along a row, then along a column
    spacing_mm: tuple[float, float]  # between rows, between columns
    thickness_mm: float | None
    rows: int
    columns: int
    slope: float
    intercept: float
    inverted: bool  # MONOCHROME1
    bits_allocated: int
    bits_stored: int
    signed: bool


def read_slices(path: Path) -> list[Slice]:
    """Return the image planes of a file; NotAnImageError for reports, DataError for damaged files."""
    try:
        dataset = read_dataset(path, _TAGS)
        _check_is_image(dataset)
        _check_pixels(path, dataset)
        return list(_planes(path, dataset))
    except PARSE_ERRORS as error:
        raise DataError(
            f"{path}: the DICOM header is damaged ({_short(error)}); fetch the file again"
        ) from error


def read_dataset(path: Path, tags: list[str] | None = None) -> Dataset:
    """Return the header (the tags asked for), or everything with pixels; deflated files within a bound."""
    with path.open("rb") as stream:
        bare = stream.read(132)[128:] != b"DICM"
    if bare:
        raise DataError(f"{path}: DICOM without preamble: how it is coded is not known; export it again")
    meta = pydicom.filereader.read_file_meta_info(path)
    if not meta.get("TransferSyntaxUID"):
        raise DataError(
            f"{path}: the DICOM file does not say how it is coded (no transfer syntax); export it again"
        )
    options: dict[str, Any] = {"specific_tags": tags, "stop_before_pixels": tags is not None}
    if meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        return pydicom.dcmread(_inflated(path), **options)
    return pydicom.dcmread(path, **options)


def _inflated(path: Path) -> io.BytesIO:
    """Return a deflated file as a plain one, never more than `LARGEST_INFLATED` bytes."""
    with path.open("rb") as stream:
        meta = pydicom.filereader._read_file_meta_info(_at_meta(stream))
        unpack = zlib.decompressobj(-zlib.MAX_WBITS)
        body = unpack.decompress(stream.read(), LARGEST_INFLATED)
    if unpack.unconsumed_tail:
        raise DataError(
            f"{path}: the deflated data set grows beyond {LARGEST_INFLATED >> 20} MiB; it is not read"
        )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    start = DicomBytesIO()
    pydicom.filewriter.write_file_meta_info(start, meta, enforce_standard=False)
    return io.BytesIO(b"\0" * 128 + b"DICM" + start.getvalue() + body)


def _at_meta(stream: io.BufferedReader) -> io.BufferedReader:
    stream.seek(132)
    return stream


def _check_is_image(dataset: Dataset) -> None:
    modality = str(dataset.get("Modality") or "")
    if modality in ("SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "REG", "DOC", "ANN"):
        raise NotAnImageError(f"DICOM {modality}, not a scan")
    missing = [tag for tag in _IMAGE_TAGS if dataset.get(tag) in (None, "")]
    if missing:
        kind = str(dataset.file_meta.get("MediaStorageSOPClassUID", UID("")).name or "DICOM file")
        if kind.endswith("Image Storage"):
            raise ValueError(f"{kind} without {', '.join(missing[:2])}: cut short")
        raise NotAnImageError(f"{kind} without pixels ({', '.join(missing[:2])} missing), not a scan")


def _check_pixels(path: Path, dataset: Dataset) -> None:
    samples, photometric = int(dataset.get("SamplesPerPixel") or 1), str(dataset.PhotometricInterpretation)
    if samples != 1 or not photometric.startswith("MONOCHROME"):
        raise DataError(
            f"{path}: a colour picture ({photometric}, {samples} samples per pixel); expected one grey value"
        )
    bits, stored = int(dataset.BitsAllocated), int(dataset.get("BitsStored") or dataset.BitsAllocated)
    high = dataset.get("HighBit")
    if bits not in (8, 16, 32) or not 1 <= stored <= bits or high not in (None, stored - 1):
        raise DataError(f"{path}: {stored} bits stored in {bits}, high bit {high}: not a layout that is read")
    size = int(dataset.Rows), int(dataset.Columns), int(dataset.get("NumberOfFrames") or 1)
    if min(size) < 1 or size[0] * size[1] * size[2] > MAX_VOXELS:
        raise DataError(
            f"{path}: the header declares {' x '.join(map(str, size))} pixels; at most {MAX_VOXELS:.3g}"
        )


def _planes(path: Path, dataset: Dataset) -> Iterator[Slice]:
    frames = int(dataset.get("NumberOfFrames") or 1)
    shared = _first(dataset, "SharedFunctionalGroupsSequence")
    own = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if frames > 1 and len(own) != frames:
        raise DataError(
            f"{path}: {frames} frames, but positions for {len(own)}: where they lie in the body is not known"
        )
    for frame in range(frames):
        groups = [group for group in (own[frame] if own else None, shared) if group is not None]
        yield _plane(path, dataset, frame, groups)


def _plane(path: Path, dataset: Dataset, frame: int, groups: list[Dataset]) -> Slice:
    def value(keyword: str, sequence: str) -> Any:
        for group in groups:
            item = _first(group, sequence)
            if item is not None and item.get(keyword) not in (None, ""):
                return item.get(keyword)
        return dataset.get(keyword)

    modality = str(dataset.get("Modality") or "")
    position = value("ImagePositionPatient", "PlanePositionSequence")
    orientation = value("ImageOrientationPatient", "PlaneOrientationSequence")
    if not position or not orientation:
        if modality not in FLAT or frame or groups:
            said = "ImagePositionPatient" if not position else "ImageOrientationPatient"
            raise DataError(
                f"{path}: no {said}: where the image lies in the body is not known; export it again"
            )
        position = orientation = None
    spacing = value("PixelSpacing", "PixelMeasuresSequence") or dataset.get("ImagerPixelSpacing")
    if not spacing or len(spacing) != 2 or min(float(edge) for edge in spacing) <= 0:
        raise DataError(f"{path}: PixelSpacing is {spacing or 'missing'}; expected two lengths in mm above 0")
    slope = value("RescaleSlope", "PixelValueTransformationSequence")
    intercept = value("RescaleIntercept", "PixelValueTransformationSequence")
    thickness = value("SliceThickness", "PixelMeasuresSequence")
    return Slice(
        path=path,
        frame=frame,
        syntax=str(dataset.file_meta.TransferSyntaxUID),
        series=str(dataset.get("SeriesInstanceUID") or ""),
        series_number=int(dataset.get("SeriesNumber") or 0),
        sop=str(dataset.get("SOPInstanceUID") or ""),
        modality=modality,
        image_type=tuple(str(word) for word in dataset.get("ImageType") or ()),
        position_mm=_numbers(position, 3),
        orientation=_numbers(orientation, 6),
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        thickness_mm=None if thickness in (None, "") else float(thickness),
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        slope=1.0 if slope in (None, "") else float(slope),
        intercept=0.0 if intercept in (None, "") else float(intercept),
        inverted=str(dataset.PhotometricInterpretation) == "MONOCHROME1",
        bits_allocated=int(dataset.BitsAllocated),
        bits_stored=int(dataset.get("BitsStored") or dataset.BitsAllocated),
        signed=bool(int(dataset.PixelRepresentation)),
    )


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    if values is None:
        return None
    if len(values) != count:
        raise ValueError(f"{len(values)} numbers where {count} belong")
    return tuple(float(value) for value in values)


def _first(dataset: Dataset, sequence: str) -> Dataset | None:
    items = dataset.get(sequence)
    return items[0] if items else None


def _short(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
