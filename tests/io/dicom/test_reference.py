from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from medunet.errors import DataError
from medunet.io.dicom.reference import ScanReference
from medunet.io.dicom.series import sources_of
from medunet.io.doors import layout_of
from medunet.io.volume import Grid
from tests.io.scans import NAME, write_enhanced, write_scan


def test_images_are_matched_by_position_not_by_name(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "ct", orientation="double_oblique")
    reference = ScanReference.of(tuple(sorted(scan.files)), scan.grid)
    found = [pydicom.dcmread(file).SOPInstanceUID for file in scan.files]
    assert [image.sop for image in reference.images] == found
    assert [image.frame for image in reference.images] == [0] * 6
    assert reference.warnings == ()
    assert reference.voxel_ml == pytest.approx(0.7 * 0.9 * 2.5 / 1000)
    (source,), _ = sources_of(scan.files)
    assert ScanReference.of(scan.files, layout_of(source).grid).images == reference.images


def test_frames_of_an_enhanced_file_are_counted_from_one(tmp_path: Path) -> None:
    scan = write_enhanced(tmp_path / "ct")
    assert [image.frame for image in scan.reference.images] == [6, 5, 4, 3, 2, 1]
    assert len({image.sop for image in scan.reference.images}) == 1


def test_a_tilted_voxel_keeps_its_volume_though_its_edge_is_longer(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "ct", tilt_degrees=30.0)
    assert scan.reference.voxel_ml == pytest.approx(0.7 * 0.9 * 2.5 / 1000)


def test_uneven_slices_are_matched_by_the_places_given(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "ct")
    shift = np.array([0.0, 0.0, 0.9])
    for file in scan.files[3:]:
        dataset = pydicom.dcmread(file)
        dataset.ImagePositionPatient = [str(x) for x in np.array(dataset.ImagePositionPatient, float) + shift]
        dataset.save_as(file)
    with pytest.raises(DataError, match=r"no image at slice 4 of 6 .* 0\.36 voxels away"):
        _ = scan.reference
    places = scan.origins_lps * (-1, -1, 1) + shift * (np.arange(6) >= 3)[:, None]
    reference = ScanReference.of(scan.files, scan.grid, places)
    assert [image.sop for image in reference.images] == [
        pydicom.dcmread(file).SOPInstanceUID for file in scan.files
    ]


@pytest.mark.parametrize("value", ["", "../../etc"])
def test_missing_uids_are_made_from_the_content_and_told(value: str, tmp_path: Path) -> None:
    lost = dict.fromkeys(("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"), value)
    with pydicom.config.disable_value_validation():
        scan = write_scan(tmp_path / "ct", SOPInstanceUID=value, **lost)
    reference = scan.reference
    again = scan.reference
    assert len({image.sop for image in reference.images}) == 6
    made = (reference.study, reference.series, reference.place, reference.images[0].sop)
    assert all(pydicom.uid.UID(uid).is_valid for uid in made)
    assert made == (again.study, again.series, again.place, again.images[0].sop)
    assert "6 images have no valid UID" in reference.warnings[0]
    assert "no valid StudyInstanceUID and SeriesInstanceUID and FrameOfReferenceUID" in reference.warnings[1]


def test_files_of_another_scan_are_refused_without_identity(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "ct")
    other = Grid.of(scan.grid.shape, scan.grid.affine @ np.diag([1, 1, 1.5, 1]))
    turned = scan.grid.affine[:, [1, 0, 2, 3]]
    smaller = Grid.of((30, 32, 6), scan.grid.affine)
    for grid, expected in (
        (other, "no image at slice 2 of 6"),
        (Grid.of(scan.grid.shape, turned), "rows and columns of the images do not run as the grid's"),
        (smaller, "found an image of 32 x 32 pixels; expected 30 x 32"),
    ):
        with pytest.raises(DataError, match=expected) as caught:
            ScanReference.of(scan.files, grid)
        assert NAME not in str(caught.value)
        assert "4711" not in str(caught.value)
    with pytest.raises(DataError, match="none were given"):
        ScanReference.of((), scan.grid)
    scan.files[0].write_bytes(scan.files[0].read_bytes()[:150])
    with pytest.raises(DataError, match="does not say how it is coded"):
        ScanReference.of(scan.files, scan.grid)


def test_several_images_at_one_place_are_told(tmp_path: Path) -> None:
    first, second = (write_scan(tmp_path / name) for name in ("b0", "b1000"))
    reference = ScanReference.of((*first.files, *second.files), first.grid)
    assert reference.images == first.reference.images
    assert "12 images for 6 slices" in reference.warnings[0]
