"""Deflated files are inflated as far as their header honestly declares pixels, and no further."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medunet.errors import DataError
from medunet.io.dicom.file import read_dataset
from medunet.io.drawn.rtstruct import read_rtstruct
from tests.io.scans import write_scan


@pytest.fixture
def deflated(series: Path) -> Path:
    path = series / "0001.dcm"
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    return path


def change(path: Path, **values: object) -> Path:
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path


def test_an_honest_file_is_read(deflated: Path) -> None:
    dataset = read_dataset(deflated)
    assert len(dataset.PixelData) == dataset.Rows * dataset.Columns * 2


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"Rows": 65535, "Columns": 65535}, "the limit is"),
        ({"Rows": 4000, "Columns": 4000}, "but the file holds"),
        ({"Rows": 4000, "Columns": 1, "NumberOfFrames": 4000, "BitsAllocated": 1}, "but the file holds"),
    ],
)
def test_claims_that_the_file_cannot_hold_are_refused(claims: dict, reason: str, deflated: Path) -> None:
    change(deflated, **claims)
    with pytest.raises(DataError, match=reason) as caught:
        read_dataset(deflated)
    assert str(deflated) in str(caught.value)


def test_more_than_the_memory_is_refused(deflated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(needed_bytes: float, what: str) -> None:
        raise DataError(f"{what} needs {needed_bytes:.0f} bytes of memory")

    monkeypatch.setattr("medunet.io.limits.check_memory", none)
    with pytest.raises(DataError, match="bytes of memory"):
        read_dataset(deflated)


def test_contours_need_no_pixels(deflated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = write_scan(tmp_path / "ct")
    change(deflated, Modality="RTSTRUCT", Rows=2000, Columns=2000, PixelData=bytes(2**23))
    monkeypatch.setattr("medunet.io.dicom.file.LARGEST_HEADER", 2**16)
    with pytest.raises(DataError, match="grows beyond"):
        read_rtstruct(deflated, scan.grid)
