"""DICOM objects without a scan: illegal numbers and references to nowhere are told."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

from medunet.io.dicom import audit as dicom_audit
from medunet.io.dicom.audit import Audit
from medunet.io.dicom.ct_series import write_ct_series

IMPLANT = b"IS\x02\x0012"


def save(path: Path, dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    dataset.SOPClassUID, dataset.SOPInstanceUID = (
        "1.2.840.10008.5.1.4.1.1.481.3",
        generate_uid(entropy_srcs=["a"]),
    )
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
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
    audit = Audit()
    assert audit.problem_of(save(tmp_path / "ct/rt.dcm", structure_set(series))) is None
    lost = structure_set("1.2.3")
    lost.SeriesInstanceUID = "1.2.3"  # its own series is none that it is drawn on
    told = str(audit.problem_of(save(tmp_path / "ct/rt2.dcm", lost)))
    assert "not in its folder" in told
    assert "1.2.3" not in told  # a UID leads to the patient


def test_a_folder_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ct_series(
        tmp_path, np.zeros((8, 8, 5), np.int16), np.eye(4), patient_id="P", description="x", seed=0
    )
    drawn = [save(tmp_path / f"rt{k}.dcm", structure_set("1.2.3")) for k in range(4)]
    opened, read = [], dicom_audit.read_header

    def counted(path: Path, tags: Any = None) -> Any:
        opened.append(path)
        return read(path, tags)

    monkeypatch.setattr(dicom_audit, "read_header", counted)
    audit = Audit()
    assert all(audit.problem_of(path) for path in drawn)
    assert len(opened) == 4 + 9  # each structure set, and every file of the folder


def test_a_deflated_object_is_not_inflated_without_bound(tmp_path: Path) -> None:
    large = structure_set("1.2.3")
    large.TextValue = "x" * 2**27
    path = save(tmp_path / "large.dcm", large, DeflatedExplicitVRLittleEndian)
    del large
    assert path.stat().st_size < 2**19
    tracemalloc.start()
    try:
        assert "larger than 16 MiB" in str(Audit().problem_of(path))
        Audit().problem_of(save(tmp_path / "rt.dcm", structure_set("1.2.3")))  # as its neighbour
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_numbers_that_are_none_are_told(tmp_path: Path) -> None:
    plan = Dataset()
    plan.Modality, plan.NumberOfFrames = "RTDOSE", 12
    good = save(tmp_path / "dose.dcm", plan)
    assert Audit().problem_of(good) is None
    assert IMPLANT in good.read_bytes()
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(good.read_bytes().replace(IMPLANT, b"IS\x02\x001A"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = str(Audit().problem_of(bad))
    assert "no numbers: Number of Frames" in told
    assert "1A" not in told  # what stands there instead may be a name


def test_a_damaged_data_set_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(b"not DICOM at all")
    assert "damaged" in str(Audit().problem_of(path))
