"""DICOM objects without a scan: illegal numbers and references to nowhere are told."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medunet.io.dicom_audit import problem_of
from medunet.io.dicom_write import write_ct_series

IMPLANT = b"IS\x02\x0012"


def save(path: Path, dataset: Dataset) -> Path:
    dataset.SOPClassUID, dataset.SOPInstanceUID = (
        "1.2.840.10008.5.1.4.1.1.481.3",
        generate_uid(entropy_srcs=["a"]),
    )
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
    return path


def structure_set(series: str) -> Dataset:
    inner, study, frame, out = Dataset(), Dataset(), Dataset(), Dataset()
    inner.SeriesInstanceUID = series
    study.RTReferencedSeriesSequence = [inner]
    frame.RTReferencedStudySequence = [study]
    out.Modality, out.ReferencedFrameOfReferenceSequence = "RTSTRUCT", [frame]
    return out


def test_a_structure_set_without_its_series_is_told_and_with_it_is_fine(tmp_path: Path) -> None:
    hu = np.zeros((8, 8, 2), np.int16)
    write_ct_series(tmp_path / "ct", hu, np.eye(4), patient_id="P", description="x", seed=0)
    series = str(pydicom.dcmread(next((tmp_path / "ct").iterdir())).SeriesInstanceUID)
    assert problem_of(save(tmp_path / "ct/rt.dcm", structure_set(series))) is None
    assert "1.2.3, which is not in its folder" in str(
        problem_of(save(tmp_path / "ct/rt2.dcm", structure_set("1.2.3")))
    )


def test_numbers_that_are_none_are_told(tmp_path: Path) -> None:
    plan = Dataset()
    plan.Modality, plan.NumberOfFrames = "RTDOSE", 12
    good = save(tmp_path / "dose.dcm", plan)
    assert problem_of(good) is None
    assert IMPLANT in good.read_bytes()
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(good.read_bytes().replace(IMPLANT, b"IS\x02\x001A"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "Number of Frames = '1A'" in str(problem_of(bad))


def test_a_damaged_data_set_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(b"not DICOM at all")
    assert "damaged" in str(problem_of(path))
