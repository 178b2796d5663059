from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medunet.config.card import Label, MaskRule
from medunet.errors import DataError
from medunet.io.check import same_grid
from medunet.io.drawn.mask import mask_kind, read_dicom_mask
from medunet.io.read import read_image, read_mask
from medunet.io.results.rtstruct import write_rtstruct
from medunet.io.results.seg import write_seg
from tests.io.scans import LABELS, MAKER, Scan, some_mask, write_scan

SHAPE = (24, 20, 6)
LEAVE_OUT = MaskRule(others="leave out")


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    return write_scan(tmp_path / "ct", SHAPE)


@pytest.fixture(params=["SEG", "RTSTRUCT"])
def drawing(request: pytest.FixtureRequest, scan: Scan, tmp_path: Path) -> Path:
    write = write_seg if request.param == "SEG" else write_rtstruct
    write(tmp_path / "m.dcm", some_mask(SHAPE), scan.reference, LABELS, MAKER)
    assert mask_kind(tmp_path / "m.dcm") == request.param
    return tmp_path / "m.dcm"


def test_labels_are_found_by_name(drawing: Path, scan: Scan) -> None:
    names = {"liver": 3, "kidneyleft": 7, "blob": 1, "spleen": 2}
    found = read_dicom_mask(drawing, scan.grid, names)
    mask = some_mask(SHAPE)
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.array([0, 3, 7, 0, 0, 1], np.uint8)[mask])


@pytest.mark.parametrize("how", [{"any_grid": True}, {"irregular": "resample"}])
def test_a_drawing_lies_on_an_image_of_tilted_slices(how: dict, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "ct", SHAPE, tilt_degrees=15.0)
    mask = some_mask(SHAPE)
    write_seg(tmp_path / "m.dcm", mask, scan.reference, LABELS, MAKER)
    image = read_image(tmp_path / "ct", **how)
    found = read_mask(tmp_path / "m.dcm", image=image)
    assert found.array.dtype == np.uint8
    assert same_grid(image, found) is None
    assert np.array_equal(image.grid.from_ras(found.array), np.array([0, 1, 2, 0, 0, 3], np.uint8)[mask])


def test_unknown_names_are_refused_or_left_out(drawing: Path, scan: Scan) -> None:
    with pytest.raises(
        DataError, match="it draws blob, kidney_left, which are no label of the card; expected liver"
    ):
        read_dicom_mask(drawing, scan.grid, {"liver": 1})
    found = read_dicom_mask(drawing, scan.grid, {"liver": 4}, rule=LEAVE_OUT)
    assert np.array_equal(found, np.where(some_mask(SHAPE) == 1, 4, 0))
    with pytest.raises(DataError, match="it draws blob"):
        read_dicom_mask(drawing, scan.grid, {"lung": 4}, rule=LEAVE_OUT)


def test_without_names_the_numbers_are_the_values(drawing: Path, scan: Scan) -> None:
    found = read_dicom_mask(drawing, scan.grid, None)
    assert np.array_equal(found, np.array([0, 1, 2, 0, 0, 3], np.uint8)[some_mask(SHAPE)])


def test_an_image_is_no_mask(scan: Scan) -> None:
    assert mask_kind(scan.files[0]) is None
    with pytest.raises(DataError, match="a DICOM image; expected a mask"):
        read_dicom_mask(scan.files[0], scan.grid, {"liver": 1})


def test_more_segments_than_a_mask_holds_are_refused_as_values(scan: Scan, tmp_path: Path) -> None:
    labels = {value: Label(name=f"part {value}") for value in range(1, 301)}
    mask = np.zeros(SHAPE, np.uint16)
    mask.ravel()[:300] = np.arange(1, 301)
    write_seg(tmp_path / "many.dcm", mask, scan.reference, labels, MAKER)
    with pytest.raises(DataError, match="segment number 300; as values of a mask at most 255 are read"):
        read_dicom_mask(tmp_path / "many.dcm", scan.grid, None)
    few = {"part299": 7, "part300": 8}
    found = read_dicom_mask(tmp_path / "many.dcm", scan.grid, few, rule=LEAVE_OUT)
    assert np.array_equal(found, np.where(mask == 299, 7, np.where(mask == 300, 8, 0)))
