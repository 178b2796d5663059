from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from medunet.errors import DataError
from medunet.io.drawn.regions import label_map, separate
from medunet.io.drawn.rtstruct import read_rtstruct
from medunet.io.results.rtstruct import write_rtstruct
from medunet.io.volume import Grid
from tests.io.scans import LABELS, MAKER, Scan, some_mask, write_scan

SHAPE = (24, 20, 6)


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    return write_scan(tmp_path / "ct", SHAPE, "oblique_10_20", 8.0)


@pytest.fixture
def written(scan: Scan, tmp_path: Path) -> Path:
    write_rtstruct(tmp_path / "rt.dcm", some_mask(SHAPE), scan.reference, LABELS, MAKER)
    return tmp_path / "rt.dcm"


def contour(
    scan: Scan, slice_number: int, pixels: list[tuple[float, float]], kind: str = "CLOSED_PLANAR"
) -> Dataset:
    """Return a contour through points (column, row) of a slice, with two digits after the point."""
    plane = scan.reference.images[slice_number].plane
    points = (np.array(pixels) @ plane.steps_mm.T + plane.origin_mm) * (-1, -1, 1)
    item = Dataset()
    item.ContourGeometricType, item.NumberOfContourPoints = kind, len(points)
    item.ContourData = [f"{x:.2f}" for x in points.ravel()]
    return item


def drawn(scan: Scan, path: Path, contours: list[Dataset]) -> np.ndarray:
    """Put contours in the place of the first region of a file, and return that region as read."""
    dataset = pydicom.dcmread(path)
    dataset.ROIContourSequence[0].ContourSequence = contours
    dataset.save_as(path)
    return separate(read_rtstruct(path, scan.grid, scan.reference), SHAPE)[1]


def box(first: float, last: float) -> list[tuple[float, float]]:
    return [(first, first), (last, first), (last, last), (first, last)]


def test_a_region_may_have_the_number_0(scan: Scan, written: Path) -> None:
    dataset = pydicom.dcmread(written)
    first = dataset.StructureSetROISequence[0].ROINumber
    dataset.StructureSetROISequence[0].ROINumber = dataset.ROIContourSequence[0].ReferencedROINumber = 0
    dataset.save_as(written)
    regions = read_rtstruct(written, scan.grid, scan.reference)
    number = next(number for number, name in regions.names.items() if name == "liver")
    assert number not in (0, first)
    found = label_map(regions, SHAPE, {number: 3})
    assert np.array_equal(found == 3, some_mask(SHAPE) == 1)


def test_contours_through_pixel_centres_give_back_those_pixels(scan: Scan, written: Path) -> None:
    expected = np.zeros(SHAPE, bool)
    expected[4:13, 4:13, 2] = True
    assert np.array_equal(drawn(scan, written, [contour(scan, 2, box(4, 12))]), expected)


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_a_contour_inside_another_is_a_hole(kind: str, scan: Scan, written: Path) -> None:
    expected = np.zeros(SHAPE, bool)
    expected[3:15, 3:15, 4] = True
    expected[6:10, 6:10, 4] = False
    rings = [contour(scan, 4, box(a - 0.5, b - 0.5), kind) for a, b in ((3, 15), (6, 10))]
    assert np.array_equal(drawn(scan, written, rings), expected)
    assert np.array_equal(drawn(scan, written, rings[::-1]), expected)


def test_points_and_open_lines_are_no_regions(scan: Scan, written: Path) -> None:
    point = contour(scan, 1, [(3.0, 3.0)], "POINT")
    line = contour(scan, 1, box(2, 9), "OPEN_PLANAR")
    ring = contour(scan, 1, box(4, 6))
    assert drawn(scan, written, [point, line, ring]).sum() == 9
    dataset = pydicom.dcmread(written)
    for item in dataset.ROIContourSequence:
        item.ContourSequence = [point]
    dataset.save_as(written)
    with pytest.raises(DataError, match="holds no closed contours"):
        read_rtstruct(written, scan.grid)


def test_parts_beyond_the_images_are_cut_off(scan: Scan, written: Path) -> None:
    assert drawn(scan, written, [contour(scan, 0, box(-9.5, 3.5))]).sum() == 16


def _foreign(dataset: Dataset) -> None:
    for item in dataset.ROIContourSequence[1].ContourSequence:
        item.ContourImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def _elsewhere(dataset: Dataset) -> None:
    for roi in dataset.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = "1.2.3"
    for item in dataset.ROIContourSequence:
        for one in item.ContourSequence:
            del one.ContourImageSequence


def _data(dataset: Dataset, change: Callable[[np.ndarray], np.ndarray]) -> None:
    one = dataset.ROIContourSequence[0].ContourSequence[0]
    one.ContourData = [f"{x:.3f}" for x in change(np.array(one.ContourData, float))]


CHANGES: dict[str, tuple[Callable[[Dataset], object], str]] = {
    "images": (_foreign, "its contours refer to 1 images .* not among the 6 of the scan"),
    "place": (_elsewhere, "lies in another frame of reference"),
    "height": (
        lambda d: _data(d, lambda p: p + np.tile((0, 0, 1.2), len(p) // 3)),
        "slices beside the nearest",
    ),
    "beyond": (
        lambda d: _data(d, lambda p: p + np.tile((0, 0, 99.0), len(p) // 3)),
        "slices beside the nearest",
    ),
    "odd": (lambda d: _data(d, lambda p: p[:-1]), "the structure set is damaged"),
    "nan": (lambda d: _data(d, lambda p: p * np.nan), "the structure set is damaged"),
    "modality": (lambda d: setattr(d, "Modality", "RTDOSE"), "DICOM RTDOSE; expected an RTSTRUCT"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_no_structure_set_of_the_scan_is_refused(name: str, scan: Scan, written: Path) -> None:
    change, expected = CHANGES[name]
    dataset = pydicom.dcmread(written)
    change(dataset)
    with pydicom.config.disable_value_validation():
        dataset.save_as(written)
    with pytest.raises(DataError, match=expected):
        separate(read_rtstruct(written, scan.grid, scan.reference), SHAPE)


def test_a_projection_has_no_slices(scan: Scan, written: Path) -> None:
    with pytest.raises(DataError, match="found a projection"):
        read_rtstruct(written, Grid.of(SHAPE[:2], np.eye(3)))
