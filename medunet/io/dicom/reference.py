"""The series that a result belongs to: the image behind each slice of the grid, and whose scan it is."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, generate_uid

from medunet.errors import DataError
from medunet.io.dicom.file import PARSE_ERRORS, read_header, tags_of
from medunet.io.dicom.frames import Plane, plane_of
from medunet.io.limits import rounded
from medunet.io.volume import Grid

OFF_VOXELS = 0.15  # a slice may lie this far beside its place: readers let uneven steps through
OFF_EDGE_PIXELS = 0.5  # rows and columns of the images against those of the grid, at the far edge
_IMAGE = [
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "NumberOfFrames",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
IDENTITY = [
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate",
    "PatientBirthTime", "PatientSex", "PatientAge", "PatientSize", "PatientWeight",
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName",
    "ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID", "StudyDate", "StudyTime", "StudyID", "StudyDescription",
    "AccessionNumber", "ReferringPhysicianName", "TimezoneOffsetFromUTC",
    "SyntheticData",  # what is drawn on a synthetic scan is synthetic too
]  # fmt: skip
_SERIES = [
    "Modality", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "ContentDate",
    "ContentTime", "PositionReferenceIndicator", "WindowCenter", "WindowWidth", "SliceThickness",
    "BodyPartExamined", "Laterality", "PatientOrientation",
]  # fmt: skip
_SERIES_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_UID = re.compile(r"[0-9.]{1,64}")


@dataclass(frozen=True)
class Image:
    """One image behind a slice of the grid."""

    sop_class: str
    sop: str
    frame: int  # of a multi-frame file, from 1; 0 for a single image
    plane: Plane | None  # None for projections


@dataclass(frozen=True)
class ScanReference:
    """The series that a result belongs to.

    header is one header of the series without pixels; images has one entry per slice of the grid, in its
    order. The patient's identity stays in header: it goes into DICOM results, never into names and messages.
    """

    header: Dataset
    images: tuple[Image, ...]
    grid: Grid
    study: str
    series: str
    place: str  # FrameOfReferenceUID
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, files: Sequence[Path], grid: Grid, positions_mm: NDArray[np.float64] | None = None
    ) -> ScanReference:
        """Match the images in files to the slices of grid by position; DataError where they do not fit.

        positions_mm (slices, 3) are the RAS places of the first voxels of the slices, for unevenly spaced
        ones, whose places do not follow from the affine. Missing UIDs are made from the content of the files.
        """
        if not files:
            raise DataError("a DICOM result needs the files of its scan; none were given")
        header = _read(files[0], [*_IMAGE, *IDENTITY, *_SERIES])
        images, made = [], 0
        for file in files:
            found, missing = _images(file, grid)
            images += found
            made += missing
        ordered = _in_order(files[0].parent, images, grid, positions_mm)
        warnings = [f"{made} images have no valid UID: made from their content"] if made else []
        if len(images) > len(ordered):
            warnings.append(
                f"{len(images)} images for {len(ordered)} slices: the result refers to the first of each"
            )
        study, series, place = uids = [_series_uid(header, keyword, ordered) for keyword in _SERIES_UIDS]
        if lost := [key for key, uid in zip(_SERIES_UIDS, uids, strict=True) if header.get(key) != uid]:
            warnings.append(f"the files have no valid {' and '.join(lost)}: made from their images")
        return cls(header, ordered, grid, study, series, place, tuple(warnings))

    @property
    def voxel_ml(self) -> float:
        """The volume of a voxel in ml, of a tilted grid too."""
        return float(abs(np.linalg.det(self.grid.affine[:3, :3]))) / 1000.0

    @property
    def pixel_mm2(self) -> float:
        """The area of a pixel in mm2."""
        return float(abs(np.linalg.det(self.grid.affine[:2, :2])))


def _read(file: Path, tags: list[str]) -> Dataset:
    try:
        return read_header(file, tags_of(*tags))[0]
    except PARSE_ERRORS as error:
        raise DataError(f"{file}: the DICOM header is damaged ({type(error).__name__})") from error


def _images(file: Path, grid: Grid) -> tuple[list[Image], int]:
    """Return the images of a file that have the grid's size, and how many lacked a valid UID."""
    dataset = _read(file, _IMAGE)
    size = int(dataset.get("Columns") or 0), int(dataset.get("Rows") or 0)
    if size != grid.shape[:2]:
        raise DataError(
            f"{file}: found an image of {size[0]} x {size[1]} pixels; expected {grid.shape[0]} x "
            f"{grid.shape[1]} as the grid of the result: it belongs to another scan"
        )
    sop, valid = str(dataset.get("SOPInstanceUID") or ""), True
    if not _UID.fullmatch(sop):
        sop, valid = made_uid("image", hashlib.sha256(file.read_bytes()).hexdigest()), False
    sop_class = str(dataset.get("SOPClassUID") or "") or str(CTImageStorage)
    multiframe = "PerFrameFunctionalGroupsSequence" in dataset or int(dataset.get("NumberOfFrames") or 1) > 1
    try:
        found = [
            Image(sop_class, sop, frame + 1 if multiframe else 0, plane_of(dataset, frame))
            for frame in range(len(dataset.get("PerFrameFunctionalGroupsSequence") or [1]))
        ]
    except PARSE_ERRORS as error:
        raise DataError(f"{file}: the DICOM header does not say where the image lies ({error})") from error
    return found, 0 if valid else 1


def _in_order(
    where: Path, images: list[Image], grid: Grid, positions_mm: NDArray[np.float64] | None
) -> tuple[Image, ...]:
    """Return one image per slice of the grid."""
    if len(grid.shape) == 2:
        return (images[0],)
    placed = [(image, image.plane) for image in images if image.plane is not None]
    if not placed:
        raise DataError(f"{where}: no image says where it lies; a result cannot be laid on them")
    slices = np.arange(grid.shape[2])
    expected = (
        grid.affine[:3, 3] + slices[:, None] * grid.affine[:3, 2] if positions_mm is None else positions_mm
    )
    inverse = np.linalg.inv(grid.affine[:3, :3])
    origins = np.array([plane.origin_mm for _, plane in placed])
    ordered = []
    for number, point in enumerate(expected):
        off = np.abs((origins - point) @ inverse.T).max(axis=1)  # voxels
        nearest = int(off.argmin())
        if not off[nearest] <= OFF_VOXELS:
            said = f"slice {number + 1} of {len(expected)} ({rounded(tuple(point))} mm)"
            raise DataError(
                f"{where}: no image at {said}; the nearest lies {off[nearest]:.2f} voxels away: "
                "the files and the grid belong to different scans"
            )
        ordered.append(placed[nearest][0])
    for _, plane in placed:
        _check_directions(where, plane, grid)
    return tuple(ordered)


def _check_directions(where: Path, plane: Plane, grid: Grid) -> None:
    steps = plane.steps_mm
    off = (
        np.linalg.norm(steps - grid.affine[:3, :2], axis=0)
        * np.array(grid.shape[:2])
        / np.linalg.norm(steps, axis=0)
    )
    if not off.max() <= OFF_EDGE_PIXELS:
        raise DataError(
            f"{where}: rows and columns of the images do not run as the grid's ({off.max():.1f} pixels apart "
            "at the far edge): give the grid as it is stored, not as it is turned to RAS"
        )


def _series_uid(header: Dataset, keyword: str, images: Sequence[Image]) -> str:
    found = str(header.get(keyword) or "")
    if _UID.fullmatch(found):
        return found
    return made_uid(keyword, *sorted({image.sop for image in images}))


def made_uid(*parts: str) -> str:
    """Return a UID that follows from parts: the same parts give the same UID."""
    return str(generate_uid(entropy_srcs=["medunet", *parts]))
