from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from medunet.io.results.codes import coding_of
from medunet.io.results.maker import DISCLAIMER
from medunet.io.results.preview import BAR, TILE, write_preview
from medunet.io.results.seg import write_seg
from tests.io.scans import LABELS, MAKER, Scan, some_mask, write_projection, write_scan

SHAPE = (40, 20, 12)


def preview(scan: Scan, image: np.ndarray, mask: np.ndarray, path: Path) -> np.ndarray:
    write_preview(path, image, mask, scan.reference, LABELS, MAKER)
    return pydicom.dcmread(path).pixel_array


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    return write_scan(tmp_path / "ct", SHAPE, spacing_mm=(1.0, 2.0, 3.0))


def test_nine_slices_with_square_pixels_and_a_bar(scan: Scan, tmp_path: Path) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:30, 5:15, 2:11] = 1
    image = np.broadcast_to(np.arange(12.0) * 10, SHAPE)
    pixels = preview(scan, image, mask, tmp_path / "sc.dcm")
    assert pixels.shape == (3 * TILE + BAR, 3 * TILE, 3)  # 40 x 1 mm by 20 x 2 mm
    outline = (pixels == coding_of(1, LABELS[1]).rgb).all(axis=-1)
    tiles = [
        outline[y : y + TILE, x : x + TILE]
        for y in range(0, 3 * TILE, TILE)
        for x in range(0, 3 * TILE, TILE)
    ]
    for tile in tiles:
        rows, columns = np.nonzero(tile)
        assert (rows.min(), columns.min()) == (TILE // 4, TILE // 4)
        assert tile.sum() == 2 * (TILE // 2 + TILE // 2) - 4  # a closed line one pixel wide
    greys = [pixels[place // 3 * TILE + 5, place % 3 * TILE + 5, 0] for place in range(9)]
    assert greys == sorted(greys)
    assert len(set(greys)) == 9


def test_the_pixels_say_that_it_is_no_diagnosis(scan: Scan, tmp_path: Path) -> None:
    nothing = np.zeros(SHAPE, np.uint8)
    pixels = preview(scan, np.zeros(SHAPE), nothing, tmp_path / "sc.dcm")
    bar = pixels[-BAR:]
    assert (bar.max(axis=-1) > 128).sum() > 500  # letters
    assert not pixels[:-BAR].any()
    found = pydicom.dcmread(tmp_path / "sc.dcm")
    assert found.SeriesDescription.startswith(DISCLAIMER)
    assert found.PatientOrientation == ["L", "P"]
    assert found.BurnedInAnnotation == "NO"
    assert (found.DateOfSecondaryCapture, found.PatientID) == ("20240102", "4711")


@pytest.mark.parametrize("told", [["P", "F"], None])
def test_a_projection_lies_as_its_header_says(told: list[str] | None, tmp_path: Path) -> None:
    scan = write_projection(tmp_path / "dx")
    dataset = pydicom.dcmread(scan.files[0])
    dataset.PatientOrientation = told
    dataset.save_as(scan.files[0])
    mask = some_mask((32, 40, 2))[:, :, 0]
    write_preview(tmp_path / "sc.dcm", mask.astype(float), mask, scan.reference, LABELS, MAKER)
    write_seg(tmp_path / "seg.dcm", mask, scan.reference, LABELS, MAKER)
    for name in ("sc.dcm", "seg.dcm"):
        assert (pydicom.dcmread(tmp_path / name).PatientOrientation or None) == told


def test_the_window_of_the_header_is_used_where_it_shows_something(tmp_path: Path) -> None:
    image = np.zeros(SHAPE)
    image[:20], image[20:] = -100.0, 100.0
    nothing = np.zeros(SHAPE, np.uint8)
    wide = write_scan(tmp_path / "wide", SHAPE, WindowCenter="0", WindowWidth="400")
    useless = write_scan(tmp_path / "useless", SHAPE, WindowCenter="5000", WindowWidth="10")
    for scan, expected in ((wide, {63, 191}), (useless, {0, 255})):
        pixels = preview(scan, image, nothing, tmp_path / "sc.dcm")[:-BAR]
        assert {int(pixels[3, 3, 0]), int(pixels[3, -3, 0])} == expected
