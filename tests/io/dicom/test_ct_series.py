from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from medunet.errors import DataError
from medunet.geometry import voxel_to_mm
from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.read import content_hash


def test_what_is_written_is_what_the_standard_says(scan: tuple, series: Path) -> None:
    array, affine = scan
    dataset = pydicom.dcmread(series / "0003.dcm")
    assert dataset.SOPClassUID == pydicom.uid.CTImageStorage
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert (dataset.RescaleIntercept, dataset.RescaleSlope) == (-1024, 1)
    assert (dataset.PatientID, dataset.StudyDescription) == ("p1", "phantom")
    assert [float(x) for x in dataset.ImageOrientationPatient] == [1, 0, 0, 0, 1, 0]
    row, column = 4, 7
    cosines = np.array(dataset.ImageOrientationPatient, float)
    spacing = [float(x) for x in dataset.PixelSpacing]
    lps = np.array(dataset.ImagePositionPatient, float)  # PS3.3 C.7.6.2.1.1
    lps = lps + cosines[:3] * spacing[1] * column + cosines[3:] * spacing[0] * row
    voxel = np.round((lps * [-1, -1, 1] - affine[:3, 3]) / np.diag(affine)[:3]).astype(int)
    assert np.allclose(voxel_to_mm(affine, voxel.astype(float)), lps * [-1, -1, 1], atol=1e-6)
    assert dataset.pixel_array[row, column] - 1024 == array[tuple(voxel)]
    names = [pydicom.dcmread(path).SOPInstanceUID for path in series.iterdir()]
    assert len(set(names)) == array.shape[2]


def test_writing_twice_gives_the_same_bytes(scan: tuple, series: Path, tmp_path: Path) -> None:
    array, affine = scan
    write_ct_series(tmp_path / "again", array, affine, patient_id="p1", description="phantom", seed=0)
    assert content_hash(tmp_path / "again") == content_hash(series)
    write_ct_series(tmp_path / "other", array, affine, patient_id="p1", description="phantom", seed=1)
    first, other = (pydicom.dcmread(folder / "0001.dcm") for folder in (series, tmp_path / "other"))
    assert first.SeriesInstanceUID != other.SeriesInstanceUID
    with pytest.raises(DataError, match="holds files already"):
        write_ct_series(series, array, affine, patient_id="p1", description="phantom", seed=0)


def test_writing_refuses_what_a_ct_cannot_hold(scan: tuple, tmp_path: Path) -> None:
    array, affine = scan
    sheared = affine.copy()
    sheared[0, 1] = 0.3
    for hu, grid, expected in (
        (array.astype(np.float32), affine, "whole numbers"),
        (array.astype(np.int32) + 40000, affine, "must lie between"),
        (array, sheared, "right angles"),
    ):
        with pytest.raises(DataError, match=expected):
            write_ct_series(tmp_path / "bad", hu, grid, patient_id="p", description="d", seed=0)
    assert not (tmp_path / "bad").exists()
