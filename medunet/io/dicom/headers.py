"""One pass over DICOM headers: each image plane becomes a `Slice`, in LPS millimetres."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID

from medunet.errors import DataError
from medunet.io.dicom.file import (
    PARSE_ERRORS,
    Extent,
    first_line,
    frame_groups,
    read_header,
    tags_of,
    values_of,
)
from medunet.io.limits import MAX_VOXELS

FLAT = ("CR", "DX", "IO", "MG", "PX", "RF", "US", "XA")  # projections: pictures without a place in the body
# Modalities whose Modality LUT is not for use: it leads back to the beam's intensity (PS3.3 C.8.7.1.1.2).
TO_BEAM_INTENSITY = ("XA", "RF")
_TAGS = tags_of(
    "SOPClassUID", "SOPInstanceUID", "Modality", "PatientID", "StudyInstanceUID", "SeriesInstanceUID",
    "SeriesNumber", "InstanceNumber", "FrameOfReferenceUID", "ImageType", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing", "SliceThickness", "Rows", "Columns",
    "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept", "BodyPartExamined",
    "ModalityLUTSequence", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "SyntheticData",
)  # fmt: skip
_NO = re.compile(r"no|none|n|without|ohne|nil|0+|-*", re.IGNORECASE)
_IMAGE_TAGS = ("Rows", "Columns", "BitsAllocated", "PixelRepresentation", "PhotometricInterpretation")


CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # SOP classes of secondary captures
Header = dict[str, Any]  # values by keyword


class NotAnImageError(Exception):
    """A sound DICOM file that holds no scan, and what it holds."""


@dataclass(frozen=True)
class Slice:
    """One image plane as its header describes it; positions in LPS mm."""

    path: Path
    frame: int  # within the file
    patient: str  # hash of the patient's number
    study: str
    series: str
    series_number: int
    instance_number: int | None
    sop: str
    place: str  # frame of reference
    body_part: str
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
    monochrome1: bool  # shown with low values in white
    bits_allocated: int
    bits_stored: int
    signed: bool
    unused_table: bool = False  # a Modality LUT of TO_BEAM_INTENSITY
    synthetic: bool = False  # SyntheticData (PS3.3 C.12.1)
    syntax: str = ""
    pixels_at: Extent | None = None  # of all frames in the file, as stored; None where that is deflated

    @property
    def inverted(self) -> bool:
        """Whether the values are to be turned round: of projections, whose values have no other meaning.

        MONOCHROME1 is a matter of display (DICOM PS3.3 C.7.6.3.1.2): HU and counts stay what they are.
        """
        return self.monochrome1 and self.modality in FLAT

    @property
    def normal(self) -> NDArray[np.float64]:
        """The direction from slice to slice, LPS; of a projection, z."""
        return _normal(self.orientation or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))

    @property
    def origin(self) -> NDArray[np.float64]:
        """The centre of the first voxel, LPS mm; of a projection, 0."""
        return np.array(self.position_mm or (0.0, 0.0, 0.0))


def read_slices(path: Path) -> list[Slice]:
    """Return the image planes of a file; NotAnImageError for reports, DataError for damaged files."""
    try:
        dataset, pixels_at = read_header(path, _TAGS)
        header = values_of(dataset)
        _check_is_image(header, dataset.file_meta)
        _check_pixels(path, header)
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        return [replace(plane, syntax=syntax, pixels_at=pixels_at) for plane in _planes(path, header)]
    except PARSE_ERRORS as error:
        raise DataError(
            f"{path}: the DICOM header is damaged ({first_line(error)}); fetch the file again"
        ) from error


def hashed(uid: str) -> str:
    """Return a short name for a UID that is safe as a file name and tells nothing of the patient."""
    return hashlib.sha256(uid.encode()).hexdigest()[:16] if uid else ""


def contrast_given(agent: object) -> bool:
    """Tell from ContrastBolusAgent whether contrast was given: scanners also write that there was none.

    >>> contrast_given("Gadovist"), contrast_given(" NONE "), contrast_given("")
    (True, False, False)
    """
    return not _NO.fullmatch(str(agent).strip())


def _check_is_image(header: Header, meta: Dataset) -> None:
    modality = str(header.get("Modality") or "")
    if modality in ("SEG", "RTSTRUCT", "RTPLAN", "RTDOSE", "SR", "PR", "KO", "REG", "DOC", "ANN"):
        raise NotAnImageError(f"DICOM {modality}, not a scan")
    if str(header.get("SOPClassUID") or "").startswith(CAPTURE) and header.get("SamplesPerPixel") == 3:
        raise NotAnImageError("a picture in colour (secondary capture), not a scan")
    missing = [tag for tag in _IMAGE_TAGS if header.get(tag) in (None, "")]
    if missing:
        kind = str(meta.get("MediaStorageSOPClassUID", UID("")).name or "DICOM file")
        if kind.endswith("Image Storage"):
            raise ValueError(f"{kind} without {', '.join(missing[:2])}: cut short")
        raise NotAnImageError(f"{kind} without pixels ({', '.join(missing[:2])} missing), not a scan")


def _check_pixels(path: Path, header: Header) -> None:
    samples, photometric = int(header.get("SamplesPerPixel") or 1), str(header["PhotometricInterpretation"])
    if samples != 1 or not photometric.startswith("MONOCHROME"):
        raise DataError(
            f"{path}: a colour picture ({photometric}, {samples} samples per pixel); expected one grey value"
        )
    bits, stored = int(header["BitsAllocated"]), int(header.get("BitsStored") or header["BitsAllocated"])
    high = header.get("HighBit")
    if bits not in (8, 16, 32) or not 1 <= stored <= bits or high not in (None, stored - 1):
        raise DataError(f"{path}: {stored} bits stored in {bits}, high bit {high}: not a layout that is read")
    if header.get("ModalityLUTSequence") and header.get("Modality") not in TO_BEAM_INTENSITY:
        raise DataError(
            f"{path}: its values follow from a table (Modality LUT Sequence), which is not read; expected "
            "RescaleSlope and RescaleIntercept. Export it with these, or as NIfTI"
        )
    size = int(header["Rows"]), int(header["Columns"]), int(header.get("NumberOfFrames") or 1)
    if min(size) < 1 or size[0] * size[1] * size[2] > MAX_VOXELS:
        raise DataError(
            f"{path}: the header declares {' x '.join(map(str, size))} pixels; at most {MAX_VOXELS:.3g}"
        )


def _planes(path: Path, header: Header) -> Iterator[Slice]:
    frames = int(header.get("NumberOfFrames") or 1)
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    if frames > 1 and len(own) != frames:
        raise DataError(
            f"{path}: {frames} frames, but positions for {len(own)}: where they lie in the body is not known"
        )
    for frame in range(frames):
        yield _plane(path, header, frame, frame_groups(header, frame))


def close(
    a: tuple[float, ...] | None, b: tuple[float, ...] | None, *, rtol: float = 1e-5, atol: float = 1e-8
) -> bool:
    """Tell whether numbers of two headers are alike, as `np.allclose` does; most are equal."""
    return a == b or bool(np.allclose(a or (), b or (), rtol, atol))


@lru_cache(maxsize=64)  # all slices of a series have one
def _normal(cosines: tuple[float, ...]) -> NDArray[np.float64]:
    normal = np.cross(cosines[:3], cosines[3:])
    normal.flags.writeable = False
    return normal


def _plane(path: Path, header: Header, frame: int, groups: list[Dataset]) -> Slice:
    def value(keyword: str, sequence: str) -> Any:
        for group in groups:
            item = _first(group, sequence)
            if item is not None and item.get(keyword) not in (None, ""):
                return item.get(keyword)
        return header.get(keyword)

    modality = str(header.get("Modality") or "")
    words = header.get("ImageType") or ()
    kind = tuple(str(word).upper() for word in ([words] if isinstance(words, str) else words))
    if "MOSAIC" in kind:
        raise DataError(
            f"{path}: a mosaic (all slices as tiles of one picture), which is not read; convert it with "
            "dcm2niix, or export it as single slices or as an enhanced object"
        )
    position = value("ImagePositionPatient", "PlanePositionSequence")
    orientation = value("ImageOrientationPatient", "PlaneOrientationSequence")
    if not position or not orientation:
        if modality not in FLAT or frame or groups:
            said = "ImagePositionPatient" if not position else "ImageOrientationPatient"
            raise DataError(
                f"{path}: no {said}: where the image lies in the body is not known; export it again"
            )
        position = orientation = None
    spacing = value("PixelSpacing", "PixelMeasuresSequence") or header.get("ImagerPixelSpacing")
    if not spacing or len(spacing) != 2 or min(float(edge) for edge in spacing) <= 0:
        raise DataError(f"{path}: PixelSpacing is {spacing or 'missing'}; expected two lengths in mm above 0")
    slope = value("RescaleSlope", "PixelValueTransformationSequence")
    intercept = value("RescaleIntercept", "PixelValueTransformationSequence")
    thickness = value("SliceThickness", "PixelMeasuresSequence")
    number = frame + 1 if groups else header.get("InstanceNumber")
    return Slice(
        path=path,
        frame=frame,
        patient=hashed(str(header.get("PatientID") or "").strip()),
        study=str(header.get("StudyInstanceUID") or ""),
        series=str(header.get("SeriesInstanceUID") or ""),
        series_number=int(header.get("SeriesNumber") or 0),
        instance_number=None if number in (None, "") else int(number),
        sop=str(header.get("SOPInstanceUID") or ""),
        place=str(header.get("FrameOfReferenceUID") or ""),
        body_part=str(header.get("BodyPartExamined") or "").upper(),
        modality=modality,
        image_type=kind,
        position_mm=_numbers(position, 3),
        orientation=_numbers(orientation, 6),
        spacing_mm=(float(spacing[0]), float(spacing[1])),
        thickness_mm=None if thickness in (None, "") else float(thickness),
        rows=int(header["Rows"]),
        columns=int(header["Columns"]),
        slope=1.0 if slope in (None, "") else float(slope),
        intercept=0.0 if intercept in (None, "") else float(intercept),
        monochrome1=str(header["PhotometricInterpretation"]) == "MONOCHROME1",
        bits_allocated=int(header["BitsAllocated"]),
        bits_stored=int(header.get("BitsStored") or header["BitsAllocated"]),
        signed=bool(int(header["PixelRepresentation"])),
        unused_table=bool(header.get("ModalityLUTSequence")),
        synthetic=str(header.get("SyntheticData") or "").upper() == "YES",
    )


def _numbers(values: Any, count: int) -> tuple[float, ...] | None:
    if values is None:
        return None
    if len(values) != count:
        raise ValueError(f"{len(values)} numbers where {count} belong")
    found = tuple(float(value) for value in values)
    if not np.isfinite(found).all():
        raise ValueError("where the image lies in the body is no number")
    return found


def _first(dataset: Dataset, sequence: str) -> Dataset | None:
    items = dataset.get(sequence)
    return items[0] if items else None
