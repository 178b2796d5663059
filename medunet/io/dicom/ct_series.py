"""Write a CT volume as a genuine DICOM series (CT Image Storage), one file a slice."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medunet import __version__
from medunet.errors import DataError
from medunet.geometry import Affine, spacing_of
from medunet.io.limits import check_affine
from medunet.io.volume import Array

INTERCEPT_HU = -1024
LARGEST_HU = 32767 + INTERCEPT_HU
DATE, TIME = "20000101", "120000"


def write_ct_series(
    folder: Path, hu: Array, affine: Affine, *, patient_id: str, description: str, seed: int
) -> None:
    """Write hu (X, Y, Z) in Hounsfield units, RAS+ with its affine (mm), to a new folder; all files or none.

    UIDs follow from patient_id, description and seed: the same call writes the same bytes.
    """
    _check(folder, hu, affine)
    planes, lps = in_lps(hu, affine)
    planes = (planes.astype(np.int32) - INTERCEPT_HU).astype(np.int16)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder.parent) as temporary:
            inner = Path(temporary) / "series"
            inner.mkdir()
            for index in range(planes.shape[2]):
                dataset = _dataset(planes[:, :, index], lps, index, (patient_id, description, str(seed)))
                dataset.save_as(inner / f"{index + 1:04d}.dcm", enforce_file_format=True)
            inner.replace(folder)
    except OSError as error:
        free = shutil.disk_usage(next(p for p in folder.parents if p.exists())).free
        raise DataError(
            f"{folder}: the series cannot be written ({error}); it needs {hu.size * 2 / 1e6:.1f} MB, "
            f"{free / 1e6:.1f} MB are free. Make room, or name a folder that you may write to"
        ) from error


def _check(folder: Path, hu: Array, affine: Affine) -> None:
    if hu.ndim != 3 or hu.dtype.kind not in "iu":
        raise DataError(
            f"{folder}: found {hu.dtype} of shape {hu.shape}; expected whole numbers (X, Y, Z) in HU"
        )
    if hu.size == 0 or hu.max() > LARGEST_HU or hu.min() < -(2**15) - INTERCEPT_HU:
        raise DataError(f"{folder}: values must lie between -31744 and {LARGEST_HU} HU")
    check_affine(folder, affine)
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: the folder holds files already; name a new one")


def in_lps(array: Array, affine: Affine) -> tuple[Array, Affine]:
    """Turn (X, Y, Z) in RAS+ to (columns, rows, slices) as scanners keep them, with the affine to LPS mm."""
    size = np.array(array.shape)
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    turn[:2, 3] = size[:2] - 1.0
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine @ turn
    return array[::-1, ::-1], lps


def _dataset(plane: NDArray[np.int16], lps: Affine, index: int, entropy: tuple[str, str, str]) -> FileDataset:
    patient_id, description, _ = entropy
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(*entropy, "image", str(index))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    facts = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "PatientID": patient_id,
        "PatientName": patient_id,
        "PatientBirthDate": "",
        "PatientSex": "",
        "StudyInstanceUID": _uid(*entropy, "study"),
        "StudyID": "1",
        "StudyDescription": description,
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        **{f"{what}Date": DATE for what in ("Study", "Series", "Content", "Acquisition")},
        **{f"{what}Time": TIME for what in ("Study", "Series", "Content", "Acquisition")},
        "Modality": "CT",
        "SeriesInstanceUID": _uid(*entropy, "series"),
        "SeriesNumber": 1,
        "SeriesDescription": description,
        "FrameOfReferenceUID": _uid(*entropy, "place"),
        "PositionReferenceIndicator": "",
        "Manufacturer": "medunet",
        "SoftwareVersions": __version__,
        "ImageType": ["DERIVED", "PRIMARY", "AXIAL"],
        "InstanceNumber": index + 1,
        "AcquisitionNumber": 1,
        "KVP": "",
        "PatientPosition": "HFS",
        **placed(lps, index),
        **_pixels(plane),
    }
    for keyword, value in facts.items():
        setattr(dataset, keyword, value)
    return dataset


def placed(lps: Affine, index: int) -> dict[str, Any]:
    """Return where slice `index` of a grid with this affine (columns, rows, slices -> LPS mm) lies."""
    between_columns, between_rows, between_slices = spacing_of(lps)
    row, column = lps[:3, 0] / between_columns, lps[:3, 1] / between_rows
    position = lps[:3, 3] + index * lps[:3, 2]
    return {
        "PixelSpacing": [_decimal(between_rows), _decimal(between_columns)],
        "SliceThickness": _decimal(between_slices),
        "SpacingBetweenSlices": _decimal(between_slices),
        "ImageOrientationPatient": [_decimal(cosine) for cosine in (*row, *column)],
        "ImagePositionPatient": [_decimal(x) for x in position],
        "SliceLocation": _decimal(float(position[2])),
    }


def _pixels(plane: NDArray[np.int16]) -> dict[str, Any]:
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": plane.shape[1],
        "Columns": plane.shape[0],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleIntercept": str(INTERCEPT_HU),
        "RescaleSlope": "1",
        "RescaleType": "HU",
        "PixelData": np.ascontiguousarray(plane.T).astype("<i2").tobytes(),
    }


def _uid(*entropy: str) -> UID:
    return generate_uid(entropy_srcs=list(entropy))


def _decimal(number: float) -> str:
    """Return a number as a DICOM decimal string, at most 16 characters.

    >>> _decimal(-123.4567890123456)
    '-123.45678901235'
    """
    number = float(number) + 0.0
    for digits in range(16, 0, -1):
        if len(text := f"{number:.{digits}g}") <= 16:
            return text
    return f"{number:.6g}"
