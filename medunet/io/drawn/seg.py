"""Read DICOM Segmentations (PS3.3 A.51) onto the grid of their scan: BINARY, FRACTIONAL and LABELMAP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import iter_pixels

from medunet.errors import DataError
from medunet.io.dicom.file import PARSE_ERRORS, read_dataset
from medunet.io.dicom.frames import functional, plane_of
from medunet.io.dicom.reference import ScanReference
from medunet.io.drawn.regions import Lattice, Piece, Regions, on_lattice
from medunet.io.limits import check_declared
from medunet.io.volume import Grid

BACKGROUND = "125040"  # DCM code of the segment that stands for none
HALF = 0.5  # of a FRACTIONAL segment: voxels that belong to it at least so much are inside


def read_seg(path: Path, grid: Grid, reference: ScanReference | None = None) -> Regions:
    """Return the segments of a file on a grid, to be put together by `label_map` or `separate`.

    Slices that the file leaves out are empty. DataError where the file is damaged, tiled, drawn on other
    voxels than the grid's, or (given the reference) in another frame of reference.
    """
    try:
        dataset = read_dataset(path)
        if str(dataset.get("Modality")) != "SEG":
            raise DataError(f"{path}: DICOM {dataset.get('Modality') or 'of no modality'}; expected a SEG")
        _check(path, dataset)
        if reference is not None:
            check_place(path, {str(dataset.get("FrameOfReferenceUID") or "")}, _sources(dataset), reference)
        return Regions(path, _names(dataset), _pieces(path, dataset, Lattice(grid, reference)))
    except PARSE_ERRORS as error:
        raise _damaged(path, error) from error


def check_place(path: Path, places: set[str], named: set[str], reference: ScanReference) -> None:
    """Refuse an object that names none of the scan's images and lies in another frame of reference."""
    if named.isdisjoint(image.sop for image in reference.images) and places - {"", reference.place}:
        raise DataError(
            f"{path}: it names no image of the scan and lies in another frame of reference: "
            "it belongs to another series"
        )


def _damaged(path: Path, error: BaseException) -> DataError:
    return DataError(f"{path}: the DICOM segmentation is damaged ({type(error).__name__}); fetch it again")


def _check(path: Path, dataset: Dataset) -> None:
    kind = str(dataset.get("SegmentationType"))
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise DataError(f"{path}: a segmentation of type {kind}; expected BINARY, FRACTIONAL or LABELMAP")
    if "TotalPixelMatrixColumns" in dataset:
        raise DataError(f"{path}: a tiled segmentation of a slide; expected planes of a scan")
    bits = {"BINARY": (1,), "FRACTIONAL": (8,), "LABELMAP": (8, 16)}[kind]
    if int(dataset.BitsAllocated) not in bits:
        raise DataError(f"{path}: {kind} with {dataset.BitsAllocated} bits per pixel; expected {bits}")
    check_declared(path, (int(dataset.Columns), int(dataset.Rows)), 2, stored_bytes=None, deflated=False)


def _sources(dataset: Dataset) -> set[str]:
    return {
        str(image.ReferencedSOPInstanceUID)
        for series in dataset.get("ReferencedSeriesSequence") or []
        for image in series.get("ReferencedInstanceSequence") or []
    }


def _names(dataset: Dataset) -> dict[int, str]:
    names = {}
    for segment in dataset.SegmentSequence:
        kinds = segment.get("SegmentedPropertyTypeCodeSequence") or [Dataset()]
        if int(segment.SegmentNumber) and str(kinds[0].get("CodeValue")) != BACKGROUND:
            names[int(segment.SegmentNumber)] = str(segment.get("SegmentLabel") or "")
    return names


def _pieces(path: Path, dataset: Dataset, lattice: Lattice) -> Iterator[Piece]:
    try:
        for frame, pixels in enumerate(_frames(dataset)):
            numbers = _numbers(dataset, frame, np.asarray(pixels))
            yield on_lattice(path, plane_of(dataset, frame), numbers, lattice)
    except (*PARSE_ERRORS, RuntimeError) as error:
        raise _damaged(path, error) from error


def _frames(dataset: Dataset) -> Iterator[NDArray[Any]]:
    """Yield the pixels (rows, columns) of each frame.

    Single bits follow each other over the borders of bytes and frames (PS3.5 8.1.1); pydicom 3.0.2 fails on
    some frames whose number of pixels is no multiple of 8.
    """
    if int(dataset.BitsAllocated) != 1 or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        yield from iter_pixels(dataset, raw=True)
        return
    shape = int(dataset.Rows), int(dataset.Columns)
    stored, size = np.frombuffer(dataset.PixelData, np.uint8), shape[0] * shape[1]
    for first in range(0, int(dataset.NumberOfFrames) * size, size):
        bits = np.unpackbits(stored[first // 8 : (first + size + 7) // 8], bitorder="little")
        yield bits[first % 8 : first % 8 + size].reshape(shape)


def _numbers(dataset: Dataset, frame: int, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the segment number of every pixel of a frame, 0 for none."""
    if dataset.SegmentationType == "LABELMAP":
        padding = dataset.get("PixelPaddingValue")
        return pixels if not padding else np.where(pixels == padding, 0, pixels)
    number = functional(dataset, frame, "SegmentIdentificationSequence", "ReferencedSegmentNumber")
    if number is None:
        raise ValueError("a frame names no segment")
    least = HALF * int(dataset.MaximumFractionalValue) if dataset.SegmentationType == "FRACTIONAL" else 1
    return (pixels >= least).astype(np.uint16) * np.uint16(number)
