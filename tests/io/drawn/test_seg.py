from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from medunet.errors import DataError
from medunet.io.drawn.regions import label_map, separate
from medunet.io.drawn.seg import read_seg
from medunet.io.results.seg import write_seg
from medunet.io.volume import Grid
from tests.io.scans import LABELS, MAKER, Scan, some_mask, write_scan

SAME = {number: number for number in range(10)}


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    return write_scan(tmp_path / "ct", (24, 20, 6), "oblique_30")


def by_highdicom(path: Path, scan: Scan, pixels: np.ndarray, kind: str, names: tuple[str, ...]) -> Path:
    """Write a segmentation as another program would; pixels (slices, rows, columns[, segments])."""
    descriptions = [
        hd.seg.SegmentDescription(
            number,
            name,
            codes.SCT.Tissue,
            codes.SCT.Tissue,
            "MANUAL",
            tracking_uid=hd.UID(),
            tracking_id=name,
        )
        for number, name in enumerate(names, start=1)
    ]
    sources = [pydicom.dcmread(file) for file in scan.files]
    segmentation = hd.seg.Segmentation(
        sources,
        pixels,
        kind,
        descriptions,
        hd.UID(),
        1,
        hd.UID(),
        1,
        "a",
        "b",
        "c",
        "d",
        max_fractional_value=200,
    )
    segmentation.save_as(path)
    return path


def test_a_fraction_of_a_half_is_inside(scan: Scan, tmp_path: Path) -> None:
    shares = (
        np.random.default_rng(0).choice([0.0, 0.2, 0.495, 0.5, 0.505, 1.0], (6, 20, 24)).astype(np.float32)
    )
    path = by_highdicom(tmp_path / "f.dcm", scan, shares, "FRACTIONAL", ("lesion",))
    found = separate(read_seg(path, scan.grid), scan.grid.shape)
    assert np.array_equal(found[1], shares.T >= 0.5)


def test_overlapping_segments_are_read_apart_and_refused_as_one_mask(scan: Scan, tmp_path: Path) -> None:
    pixels = np.zeros((6, 20, 24, 2), np.uint8)
    pixels[2:4, 3:9, 4:12, 0] = 1
    pixels[3, 7:15, 10:20, 1] = 1
    path = by_highdicom(tmp_path / "o.dcm", scan, pixels, "BINARY", ("liver", "tumour"))
    found = separate(read_seg(path, scan.grid), scan.grid.shape)
    assert [np.array_equal(found[n], pixels[..., n - 1].T) for n in (1, 2)] == [True, True]
    with pytest.raises(DataError, match="segments overlap .*liver and tumour in 4 voxels"):
        label_map(read_seg(path, scan.grid), scan.grid.shape, SAME)
    higher = label_map(read_seg(path, scan.grid), scan.grid.shape, SAME, "higher label")
    assert np.array_equal(higher, np.where(pixels[..., 1].T, 2, pixels[..., 0].T))
    lower = label_map(read_seg(path, scan.grid), scan.grid.shape, {1: 2, 2: 1}, "higher label")
    assert np.array_equal(lower, np.where(pixels[..., 0].T, 2, pixels[..., 1].T))
    together = label_map(read_seg(path, scan.grid), scan.grid.shape, {1: 1, 2: 1})
    assert np.array_equal(together > 0, pixels.any(-1).T)


def test_values_without_a_segment_and_the_background_belong_to_no_region(scan: Scan, tmp_path: Path) -> None:
    """DICOM lets the background have any number, and some programs leave it out of the segments."""
    mask = some_mask(scan.grid.shape)
    write_seg(tmp_path / "seg.dcm", mask, scan.reference, LABELS, MAKER, "labelmap")
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    background, liver, kidney, _ = dataset.SegmentSequence  # values 0, 1, 2, 3
    background.SegmentNumber, kidney.SegmentNumber = 2, 9
    dataset.SegmentSequence = [background, liver, kidney]
    dataset.save_as(tmp_path / "seg.dcm")
    found = separate(read_seg(tmp_path / "seg.dcm", scan.grid), mask.shape)
    assert set(found) == {1, 9}
    assert np.array_equal(found[1], mask == 1)
    assert not found[9].any()


def test_frames_may_run_along_other_axes_of_the_same_voxels(scan: Scan, tmp_path: Path) -> None:
    mask = some_mask(scan.grid.shape)
    write_seg(tmp_path / "seg.dcm", mask, scan.reference, LABELS, MAKER)
    volume = hd.seg.segread(tmp_path / "seg.dcm").get_volume(combine_segments=True)
    for axes, flips in (
        ((2, 0, 1), (0,)),
        ((1, 2, 0), (1, 2)),
    ):  # a reformat along columns, or rows, mirrored
        turned = volume.permute_spatial_axes(axes).flip_spatial(flips)
        path = tmp_path / f"turned_{axes[0]}.dcm"
        by_highdicom(path, scan, turned.astype(np.uint8), "BINARY", ("liver", "kidney", "blob"))
        back = label_map(read_seg(path, scan.grid), scan.grid.shape, {1: 1, 2: 2, 3: 5})
        assert np.array_equal(back, mask)


def _place(dataset: pydicom.Dataset, uid: str) -> None:
    dataset.FrameOfReferenceUID = uid
    dataset.ReferencedSeriesSequence = []


def _spacing(dataset: pydicom.Dataset) -> None:
    dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = ["0.8", "0.8"]


def _move(dataset: pydicom.Dataset, by_mm: float) -> None:
    for group in dataset.PerFrameFunctionalGroupsSequence:
        position = group.PlanePositionSequence[0]
        position.ImagePositionPatient = [f"{x + by_mm:.6f}" for x in position.ImagePositionPatient]


CHANGES: dict[str, tuple[Callable[[pydicom.Dataset], object], str]] = {
    "place": (lambda d: _place(d, "1.2.3"), "lies in another frame of reference"),
    "spacing": (_spacing, "its pixels .* are not the voxels of the scan"),
    "between": (lambda d: _move(d, 0.3), "a frame lies between the voxels"),
    "outside": (lambda d: _move(d, 700.0), "outside the scan|between the voxels"),
    "tiled": (lambda d: setattr(d, "TotalPixelMatrixColumns", 100), "a tiled segmentation of a slide"),
    "type": (lambda d: setattr(d, "SegmentationType", "FUZZY"), "a segmentation of type FUZZY"),
    "bits": (lambda d: setattr(d, "BitsAllocated", 16), "BINARY with 16 bits per pixel"),
    "modality": (lambda d: setattr(d, "Modality", "CT"), "DICOM CT; expected a SEG"),
    "cut": (lambda d: setattr(d, "PixelData", d.PixelData[:20]), "damaged"),
    "unnamed": (lambda d: delattr(d, "SegmentSequence"), "damaged"),
    "huge": (lambda d: setattr(d, "Rows", 65535) or setattr(d, "Columns", 65535), "the limit is"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_no_segmentation_of_the_scan_is_refused(name: str, scan: Scan, tmp_path: Path) -> None:
    change, expected = CHANGES[name]
    path = tmp_path / "seg.dcm"
    write_seg(path, some_mask(scan.grid.shape), scan.reference, LABELS, MAKER)
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)
    with pytest.raises(DataError, match=expected):
        separate(read_seg(path, scan.grid, scan.reference), scan.grid.shape)


def test_voxels_beyond_a_smaller_scan_are_refused_and_counted(scan: Scan, tmp_path: Path) -> None:
    mask = np.zeros(scan.grid.shape, np.uint8)
    mask[3, 3, [0, 5]] = 1
    write_seg(tmp_path / "seg.dcm", mask, scan.reference, LABELS, MAKER)
    smaller = Grid.of((24, 20, 5), scan.grid.affine)
    with pytest.raises(DataError, match="1 voxels lie outside the scan of 24 x 20 x 5 voxels"):
        separate(read_seg(tmp_path / "seg.dcm", smaller), smaller.shape)
