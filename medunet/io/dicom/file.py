"""Open one DICOM file: its header, or all of it, with deflated content inside a bound."""

from __future__ import annotations

import io
import math
import struct
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from pydicom import config as pydicom_config
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filebase import DicomBytesIO
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from medunet.errors import DataError
from medunet.io.limits import check_declared

pydicom_config.settings.reading_validation_mode = pydicom_config.IGNORE  # what we use, we check ourselves
LARGEST_HEADER = 2**24  # bytes of a deflated data set before its pixels
SLACK = 2**20  # bytes that may follow the pixels of a deflated data set
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
PREAMBLE = 132


Extent = tuple[int, int]  # first byte in a file, number of bytes


def tags_of(*keywords: Any) -> list[BaseTag]:
    """Return tags of keywords or numbers, ready for `read_header`."""
    return [Tag(keyword) for keyword in keywords]


_SIZE_TAGS = tags_of("Rows", "Columns", "NumberOfFrames", "BitsAllocated", "SamplesPerPixel")


def read_header(path: Path, tags: list[BaseTag] | None = None) -> tuple[Dataset, Extent | None]:
    """Return the tags of a header (None: all), and where its pixels lie (None: deflated, or none there)."""
    with path.open("rb") as stream:
        deflated = _is_deflated(path, stream)
        if deflated:
            body, more = _inflated(stream, LARGEST_HEADER)
            dataset = pydicom.dcmread(body, specific_tags=tags, stop_before_pixels=True)
            if more and not body.read(1):
                raise DataError(
                    f"{path}: the deflated header is larger than {LARGEST_HEADER >> 20} MiB; it is not read"
                )
            return dataset, None
        dataset = pydicom.dcmread(stream, specific_tags=tags, stop_before_pixels=True)
        return dataset, _pixels_at(stream, dataset)


def read_dataset(path: Path, *, pixels: bool = True) -> Dataset:
    """Return everything of a file; a deflated one only as far as its header declares pixels.

    Without pixels, none are expected, whatever the header declares.
    """
    with path.open("rb") as stream:
        if not _is_deflated(path, stream):
            return pydicom.dcmread(stream, stop_before_pixels=not pixels)
        declared = LARGEST_HEADER + SLACK
        if pixels:
            declared += _pixel_bytes(path, read_header(path, _SIZE_TAGS)[0])
        body, more = _inflated(stream, declared)
        if more:
            raise DataError(
                f"{path}: the deflated data set grows beyond the {declared >> 20} MiB that its header "
                "declares; it is not read"
            )
        return pydicom.dcmread(body)


def values_of(dataset: Dataset) -> dict[str, Any]:
    """Return the values of a header by keyword. What slices of a series share is converted once."""
    values = {}
    for tag in dataset.keys():  # noqa: SIM118 - iterating a data set converts its elements
        raw = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.value is not None:
            values[keyword_for_tag(tag)] = _converted(*raw[:2], raw.value, *raw[5:7])
        elif raw is not None:
            values[keyword_for_tag(tag)] = raw.value
    return values


@lru_cache(maxsize=2**12)
def _converted(tag: BaseTag, vr: str | None, value: bytes, implicit: bool, little: bool) -> Any:
    raw = RawDataElement(tag, vr, len(value), value, 0, implicit, little, is_raw=True)
    return convert_raw_data_element(raw).value


def frame_groups(header: Dataset | dict[str, Any], frame: int) -> list[Dataset]:
    """Return the functional groups of a frame of an enhanced object: its own, then the shared ones."""
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    return [*own[frame : frame + 1], *(header.get("SharedFunctionalGroupsSequence") or [])]


def first_line(error: BaseException) -> str:
    """Return what an error says, short."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _is_deflated(path: Path, stream: BinaryIO) -> bool:
    """Say whether the data set is deflated; leaves the stream at its start."""
    if stream.read(PREAMBLE)[128:] != b"DICM":
        raise DataError(f"{path}: DICOM without preamble: how it is coded is not known; export it again")
    meta = pydicom.filereader._read_file_meta_info(stream)
    if not meta.get("TransferSyntaxUID"):
        raise DataError(
            f"{path}: the DICOM file does not say how it is coded (no transfer syntax); export it again"
        )
    stream.seek(0)
    return bool(meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian)


def _inflated(stream: BinaryIO, most: int) -> tuple[io.BytesIO, bool]:
    """Return a deflated file as a plain one, cut at `most` bytes, and whether there was more."""
    stream.seek(PREAMBLE)
    meta = pydicom.filereader._read_file_meta_info(stream)
    unpack = zlib.decompressobj(-zlib.MAX_WBITS)
    body = unpack.decompress(stream.read(), most)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    start = DicomBytesIO()
    pydicom.filewriter.write_file_meta_info(start, meta, enforce_standard=False)
    return io.BytesIO(b"\0" * 128 + b"DICM" + start.getvalue() + body), bool(unpack.unconsumed_tail)


def _pixel_bytes(path: Path, header: Dataset) -> int:
    """Return how many bytes of pixels a deflated file declares; DataError for more than it can hold."""
    shape = [int(header.get(tag) or 1) for tag in ("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel")]
    itemsize = int(header.get("BitsAllocated") or 16) / 8
    check_declared(path, shape, itemsize, stored_bytes=path.stat().st_size, deflated=True)
    return int(math.prod(shape) * itemsize)


def _pixels_at(stream: BinaryIO, dataset: Dataset) -> Extent | None:
    """Return the extent of the value of PixelData, for a stream that stands before that element."""
    syntax = dataset.file_meta.TransferSyntaxUID
    order = "<" if syntax.is_little_endian else ">"
    start = stream.tell()
    head = stream.read(12)
    if len(head) < 12 or struct.unpack(f"{order}HH", head[:4]) != (0x7FE0, 0x0010):
        return None
    if syntax.is_implicit_VR:
        return start + 8, struct.unpack(f"{order}L", head[4:8])[0]
    return start + 12, struct.unpack(f"{order}L", head[8:12])[0]
