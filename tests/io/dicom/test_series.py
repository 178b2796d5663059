from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    generate_uid,
)

from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.read import find_images, read_header, read_image
from tests.io.edited import edit, refused


def test_a_written_series_is_read_back_in_place(scan: tuple, series: Path) -> None:
    array, affine = scan
    volume = read_image(series)
    assert np.array_equal(volume.array[0], array)
    assert np.allclose(volume.affine, affine, atol=1e-6)
    assert volume.modality == "CT"
    assert volume.warnings == ()
    header = read_header(series)
    assert (header.shape, header.format, header.dtype) == (array.shape, "dicom", "int16")


def test_foreign_files_beside_a_series_do_not_matter(scan: tuple, series: Path) -> None:
    (series / "readme.txt").write_text("hello")
    (series / "empty").touch()
    assert np.array_equal(read_image(series).array[0], scan[0])


def test_two_images_in_one_place_are_refused_and_copies_are_dropped(scan: tuple, series: Path) -> None:
    shutil.copy(series / "0004.dcm", series / "copy.dcm")
    volume = read_image(series)
    assert np.array_equal(volume.array[0], scan[0])
    assert any("1 copies" in text for text in volume.warnings)
    dataset = pydicom.dcmread(series / "copy.dcm")
    dataset.SOPInstanceUID = generate_uid()
    dataset.PixelData = dataset.PixelData[2:] + b"\0\0"
    dataset.save_as(series / "copy.dcm")
    refused(series, "2 different images .of 11. at the position")


def test_files_that_share_one_instance_uid_are_told_apart_by_position(scan: tuple, series: Path) -> None:
    edit(series, lambda dataset, _: setattr(dataset, "SOPInstanceUID", "1.2.3"))
    volume = read_image(series)
    assert np.array_equal(volume.array[0], scan[0])
    assert any("SOPInstanceUID" in text for text in volume.warnings)


def test_empty_uids_are_read_where_the_grid_is_regular(scan: tuple, series: Path) -> None:
    def change(dataset: Dataset, _: int) -> None:
        dataset.SOPInstanceUID = dataset.SeriesInstanceUID = dataset.StudyInstanceUID = ""

    edit(series, change)
    volume = read_image(series)
    assert np.array_equal(volume.array[0], scan[0])
    assert any("name no series" in text for text in volume.warnings)


def test_two_series_in_a_folder_are_two_sources(scan: tuple, series: Path, tmp_path: Path) -> None:
    array, affine = scan
    write_ct_series(tmp_path / "second", array[::-1], affine, patient_id="p1", description="b", seed=2)
    for path in (tmp_path / "second").iterdir():
        shutil.copy(path, series / f"b{path.name}")
    shutil.rmtree(tmp_path / "second")
    refused(series, "found 2 series")
    sources, skipped = find_images([series])
    assert skipped == []
    assert len({source.name for source in sources}) == 2
    assert [source.path for source in sources] == [series, series]
    assert np.array_equal(read_image(sources[0]).array[0], array)
    assert np.array_equal(read_image(sources[1]).array[0], array[::-1])


def test_a_localizer_inside_is_left_out(scan: tuple, series: Path) -> None:
    dataset = pydicom.dcmread(series / "0001.dcm")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
    dataset.SOPInstanceUID = generate_uid()
    dataset.save_as(series / "scout.dcm")
    volume = read_image(series)
    assert np.array_equal(volume.array[0], scan[0])
    assert any("1 localizer" in text for text in volume.warnings)


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PixelSpacing", [0.0, 0.0], "PixelSpacing"),
        ("PixelSpacing", None, "PixelSpacing is missing"),
        ("ImageOrientationPatient", None, "no ImageOrientationPatient"),
        ("ImagePositionPatient", None, "no ImagePositionPatient"),
        ("ImageOrientationPatient", [1, 0, 0, 0.5, 0.5, 0.2], "right angles"),
        ("RescaleSlope", "0", "RescaleSlope is 0"),
        ("SamplesPerPixel", 3, "colour"),
        ("HighBit", 12, "high bit 12"),
        ("Rows", 65535, "damaged or cut short"),
    ],
)
def test_a_file_with_a_wrong_header_is_refused(
    keyword: str, value: object, expected: str, series: Path
) -> None:
    path = series / "0001.dcm"
    dataset = pydicom.dcmread(path)
    if value is None:
        delattr(dataset, keyword)
    else:
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    refused(path, expected)


def test_a_header_that_claims_10_to_the_14_pixels_is_refused(series: Path) -> None:
    dataset = pydicom.dcmread(series / "0001.dcm")
    dataset.Rows = dataset.Columns = 65535
    dataset.NumberOfFrames = 30000
    dataset.save_as(series / "0001.dcm")
    refused(series / "0001.dcm", "65535 x 65535 x 30000")


def test_a_single_file_is_one_slice(scan: tuple, series: Path) -> None:
    volume = read_image(series / "0003.dcm")
    assert np.array_equal(volume.array[0, :, :, 0], scan[0][:, :, 2])
    assert volume.spacing_mm == pytest.approx((0.8, 1.2, 2.5))
    assert any("one slice" in text for text in volume.warnings)


def test_reports_and_plans_are_skipped_with_their_kind(series: Path) -> None:
    for name, modality in (("sr.dcm", "SR"), ("seg.dcm", "SEG")):
        dataset = pydicom.dcmread(series / "0001.dcm")
        dataset.Modality = modality
        dataset.save_as(series / name)
    assert read_image(series).shape == (11, 9, 10)
    sources, skipped = find_images([series])
    assert len(sources) == 1
    assert {"SR" in entry.reason or "SEG" in entry.reason for entry in skipped} == {True}
    refused(series / "sr.dcm", "DICOM SR, not a scan")
