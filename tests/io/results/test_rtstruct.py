from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from medunet.errors import DataError
from medunet.io.results.rtstruct import write_rtstruct
from tests.io.scans import LABELS, MAKER, some_mask, write_enhanced, write_projection, write_scan
from tests.phantoms import ball

SHAPE = (24, 20, 8)


def lesion(name: str) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    if name == "voxel":
        mask[4, 5, 3] = 1
    elif name == "pair":
        mask[4:6, 5, 3] = 1
    elif name == "holes":
        mask[2:20, 2:18, 2:7] = 1
        mask[4:8, 4:9, 3:6] = 0
        mask[12, 10, 4] = mask[14:16, 12:14, 4] = 0
        mask[5, 6, 4] = 1
    else:
        mask[ball(SHAPE, (11, 10, 4), 3.6)] = 1  # 5 mm across at 0.7 mm
    return mask


@pytest.mark.parametrize("tilt_degrees", [0.0, 17.0])
@pytest.mark.parametrize("name", ["voxel", "pair", "holes", "sphere"])
def test_the_polygons_enclose_the_volume_of_the_mask(name: str, tilt_degrees: float, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "ct", SHAPE, "double_oblique", tilt_degrees, (0.7, 0.7, 0.7))
    mask = lesion(name)
    write_rtstruct(tmp_path / "rt.dcm", mask, scan.reference, LABELS, MAKER)
    found = pydicom.dcmread(tmp_path / "rt.dcm")
    volume_mm3 = 0.0
    for contour in found.ROIContourSequence[0].ContourSequence:
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        assert contour.NumberOfContourPoints == len(points)
        around = points - points.mean(axis=0)
        area_mm2 = np.linalg.norm(np.cross(around, np.roll(around, -1, axis=0)).sum(axis=0)) / 2
        volume_mm3 += area_mm2 * 0.7
    truth_mm3 = float(mask.sum()) * 0.7**3
    assert volume_mm3 == pytest.approx(truth_mm3, rel=0.002)  # numbers are written to 0.1 micrometre
    assert float(found.StructureSetROISequence[0].ROIVolume) == pytest.approx(truth_mm3 / 1000)


def test_contours_lie_in_their_slices_and_name_the_images(tmp_path: Path) -> None:
    for scan in (
        write_scan(tmp_path / "ct", SHAPE, "oblique_10_20", 12.0),
        write_enhanced(tmp_path / "enhanced"),
    ):
        write_rtstruct(tmp_path / "rt.dcm", some_mask(scan.grid.shape), scan.reference, LABELS, MAKER)
        found = pydicom.dcmread(tmp_path / "rt.dcm")
        images = {(image.sop, image.frame): image.plane for image in scan.reference.images}
        for roi in found.ROIContourSequence:
            for contour in roi.ContourSequence:
                (source,) = contour.ContourImageSequence
                plane = images[source.ReferencedSOPInstanceUID, int(source.get("ReferencedFrameNumber", 0))]
                normal = np.cross(plane.cosines_lps[:3], plane.cosines_lps[3:])
                points = np.array(contour.ContourData, float).reshape(-1, 3)
                assert np.abs((points - plane.position_lps) @ normal).max() < 1e-3
        (place,) = found.ReferencedFrameOfReferenceSequence
        assert place.FrameOfReferenceUID == scan.reference.place
        (series,) = place.RTReferencedStudySequence[0].RTReferencedSeriesSequence
        assert {item.ReferencedSOPInstanceUID for item in series.ContourImageSequence} == {
            sop for sop, _ in images
        }


def test_a_region_is_named_coloured_and_coded(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "ct", SHAPE)
    warnings = write_rtstruct(tmp_path / "rt.dcm", some_mask(SHAPE), scan.reference, LABELS, MAKER)
    found = pydicom.dcmread(tmp_path / "rt.dcm")
    assert [roi.ROIName for roi in found.StructureSetROISequence] == ["liver", "kidney_left", "blob"]
    assert {roi.ROIGenerationAlgorithm for roi in found.StructureSetROISequence} == {"AUTOMATIC"}
    coded = [item.RTROIIdentificationCodeSequence[0].CodeValue for item in found.RTROIObservationsSequence]
    assert coded == ["10200004", "64033007", "85756007"]
    assert len({tuple(item.ROIDisplayColor) for item in found.ROIContourSequence}) == 3
    assert (found.ApprovalStatus, found.StructureSetDate) == ("UNAPPROVED", "20240102")
    assert len(warnings) == 1


def test_a_projection_and_an_empty_mask_have_no_contours(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "ct", SHAPE)
    with pytest.raises(DataError, match="the mask is empty"):
        write_rtstruct(tmp_path / "rt.dcm", np.zeros(SHAPE, np.uint8), scan.reference, LABELS, MAKER)
    flat = write_projection(tmp_path / "dx")
    with pytest.raises(DataError, match="a projection has no place in space"):
        write_rtstruct(tmp_path / "rt.dcm", np.ones((32, 40), np.uint8), flat.reference, LABELS, MAKER)
    assert not (tmp_path / "rt.dcm").exists()
