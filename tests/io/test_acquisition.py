"""What a DICOM series says of how it was acquired, and nothing of whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from medunet.errors import DataError
from medunet.io.acquisition import acquisition_of
from tests.io.scans import NAME, write_scan


def test_scanner_field_kernel_contrast_and_decade_are_told(tmp_path: Path):
    write_scan(
        tmp_path, (8, 6, 3), Modality="MR", Manufacturer="ACME", ManufacturerModelName="One ",
        MagneticFieldStrength="3", ContrastBolusAgent="NONE", PatientAge="067Y", ConvolutionKernel="B30f",
    )  # fmt: skip
    assert acquisition_of(tmp_path) == {
        "modality": "MR", "manufacturer": "ACME", "scanner": "One", "kernel": "B30f",
        "field_strength_t": 3.0, "contrast": "none", "age": "60s",
    }  # fmt: skip


def test_what_a_header_leaves_empty_is_not_told_and_no_name_ever_is(tmp_path: Path):
    write_scan(tmp_path, (8, 6, 3), ContrastBolusAgent="Gadovist")
    found = acquisition_of(tmp_path)
    assert found == {"modality": "CT", "contrast": "given"}
    assert NAME not in str(found)


def test_other_files_beside_a_series_are_passed_over(tmp_path: Path):
    write_scan(tmp_path, (8, 6, 2), Manufacturer="ACME")
    (tmp_path / "000-licence").write_text("CC BY", encoding="utf-8")
    assert acquisition_of(tmp_path)["manufacturer"] == "ACME"


def test_a_folder_without_dicom_is_an_error(tmp_path: Path):
    (tmp_path / "licence").write_text("CC BY", encoding="utf-8")
    with pytest.raises(DataError, match="no DICOM file that can be read"):
        acquisition_of(tmp_path)
