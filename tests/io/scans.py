"""DICOM scans in any orientation, tilted, enhanced or without UIDs, with the grid that they must have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import format_number_as_ds

from medunet.config.card import Label
from medunet.io.dicom.reference import ScanReference
from medunet.io.results.maker import Maker
from medunet.io.volume import Grid

LPS = np.array([-1.0, -1.0, 1.0])
NAME = "Mustermann^Erika"
LABELS = {1: Label(name="liver"), 2: Label(name="kidney_left"), 5: Label(name="blob")}
MAKER = Maker("spleen_ct", "1.2.0", "a" * 64, "b" * 64)


def _turned(x: float, y: float, z: float) -> NDArray[np.float64]:
    """Return row and column direction (2, 3) of an axial image turned by degrees about the three axes."""
    a, b, c = np.radians([x, y, z])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return (about_z @ about_y @ about_x)[:, :2].T


ORIENTATIONS = {
    "axial": np.array([[1.0, 0, 0], [0, 1, 0]]),
    "half_turn": np.array([[-1.0, 0, 0], [0, -1, 0]]),
    "negative_column": np.array([[1.0, 0, 0], [0, -1, 0]]),
    "coronal": np.array([[1.0, 0, 0], [0, 0, -1]]),
    "sagittal": np.array([[0.0, 1, 0], [0, 0, -1]]),
    "oblique_30": _turned(30, 0, 0),
    "oblique_10_20": _turned(10, 20, 0),
    "double_oblique": _turned(25, -35, 50),
    "in_plane_25": _turned(0, 0, 25),
}


@dataclass(frozen=True)
class Scan:
    """A series on disk and its grid."""

    files: tuple[Path, ...]
    grid: Grid
    origins_lps: NDArray[np.float64]

    @property
    def reference(self) -> ScanReference:
        return ScanReference.of(self.files, self.grid)


def write_scan(
    folder: Path,
    shape: tuple[int, int, int] = (32, 32, 6),
    orientation: str = "axial",
    tilt_degrees: float = 0.0,
    spacing_mm: tuple[float, float, float] = (0.7, 0.9, 2.5),
    **changes: object,
) -> Scan:
    """Write a series of single images (columns, rows, slices); spacing between columns, rows, slices."""
    scan = _placed(folder, shape, ORIENTATIONS[orientation], tilt_degrees, spacing_mm)
    folder.mkdir(parents=True, exist_ok=True)
    cosines = ORIENTATIONS[orientation]
    for number, origin in enumerate(scan.origins_lps):
        dataset = _common(CTImageStorage, f"{folder.name} {number}", shape)
        dataset.ImagePositionPatient = _ds(origin)
        dataset.ImageOrientationPatient = _ds(cosines.ravel())
        dataset.PixelSpacing = _ds([spacing_mm[1], spacing_mm[0]])
        dataset.SliceThickness = _ds([spacing_mm[2]])[0]
        dataset.PixelData = np.full(shape[1::-1], number * 10, "<i2").tobytes()
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        dataset.save_as(scan.files[number], enforce_file_format=True)
    return scan


def write_enhanced(folder: Path, shape: tuple[int, int, int] = (24, 20, 6)) -> Scan:
    """Write one enhanced file whose frames are stored from the last slice to the first."""
    spacing_mm = (0.7, 0.9, 2.5)
    scan = _placed(folder, shape, ORIENTATIONS["double_oblique"], 0.0, spacing_mm)
    folder.mkdir(parents=True)
    dataset = _common(EnhancedCTImageStorage, folder.name, shape)
    dataset.NumberOfFrames = shape[2]
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = _ds(ORIENTATIONS["double_oblique"].ravel())
    measures.PixelSpacing, measures.SliceThickness = _ds([spacing_mm[1], spacing_mm[0]]), "2.5"
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    frames = []
    for origin in scan.origins_lps[::-1]:
        frame, position = Dataset(), Dataset()
        position.ImagePositionPatient = _ds(origin)
        frame.PlanePositionSequence = [position]
        frames.append(frame)
    dataset.SharedFunctionalGroupsSequence, dataset.PerFrameFunctionalGroupsSequence = [shared], frames
    dataset.PixelData = np.zeros(shape, "<i2").tobytes()
    dataset.save_as(folder / "0.dcm", enforce_file_format=True)
    return Scan((folder / "0.dcm",), scan.grid, scan.origins_lps)


def write_projection(folder: Path, shape: tuple[int, int] = (32, 40)) -> Scan:
    """Write one radiograph: it has no place in space, and pixels of 0.7 x 0.9 mm."""
    scan = write_scan(folder, (*shape, 1), Modality="DX")
    dataset = dcmread(scan.files[0])
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        delattr(dataset, keyword)
    dataset.save_as(scan.files[0])
    return Scan(scan.files, Grid.of(shape, np.diag([0.7, 0.9, 1.0])), scan.origins_lps)


def some_mask(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    """Return a mask with labels 1, 2 and 5: blocks, a hole, single voxels, noise; slice 1 stays empty."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    mask[2:-9, 3:-4] = 1
    mask[5:9, 6:10] = 0
    mask[6, 7] = 2
    mask[-6:-2, 4:8] = 2
    mask[(rng.random(shape) < 0.04) & (np.arange(shape[0]) > shape[0] // 2)[:, None, None]] = 5
    mask[:, :, 1] = 0
    mask[0, 0, 0] = mask[-1, -1, -1] = 2
    return mask


def _placed(
    folder: Path,
    shape: tuple[int, int, int],
    cosines: NDArray[np.float64],
    tilt_degrees: float,
    spacing_mm: tuple[float, float, float],
) -> Scan:
    normal = np.cross(cosines[0], cosines[1])
    step = spacing_mm[2] * (normal + np.tan(np.radians(tilt_degrees)) * cosines[1])
    origins = np.array([-31.5, 12.25, 300.0]) + np.arange(shape[2])[:, None] * step
    affine = np.eye(4)
    affine[:3, 0] = cosines[0] * spacing_mm[0] * LPS
    affine[:3, 1] = cosines[1] * spacing_mm[1] * LPS
    affine[:3, 2], affine[:3, 3] = step * LPS, origins[0] * LPS
    files = tuple(
        folder / f"{shape[2] - number:03d}.dcm" for number in range(shape[2])
    )  # names run backwards
    return Scan(files, Grid.of(shape, affine), origins)


def _common(sop_class: str, what: str, shape: tuple[int, int, int]) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = sop_class, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[what])
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    facts = {
        "SOPClassUID": sop_class, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "PatientName": NAME, "PatientID": "4711", "PatientBirthDate": "19500203", "PatientSex": "F",
        "StudyInstanceUID": generate_uid(entropy_srcs=["study"]), "StudyDate": "20240102",
        "StudyTime": "101112",
        "StudyID": "7", "AccessionNumber": "A1", "ReferringPhysicianName": "Arzt^A", "Modality": "CT",
        "SeriesInstanceUID": generate_uid(entropy_srcs=["series"]), "SeriesNumber": 3, "InstanceNumber": 1,
        "FrameOfReferenceUID": generate_uid(entropy_srcs=["place"]), "Rows": shape[1], "Columns": shape[0],
        "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 1, "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "RescaleSlope": "1", "RescaleIntercept": "0",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "KVP": "", "AcquisitionNumber": 1,
        "PatientPosition": "HFS",
    }  # fmt: skip
    for keyword, value in facts.items():
        setattr(dataset, keyword, value)
    return dataset


def _ds(numbers) -> list[str]:
    return [format_number_as_ds(float(number) + 0.0) for number in numbers]
