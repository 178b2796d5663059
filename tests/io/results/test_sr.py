from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from medunet.config.card import Label
from medunet.io.results.seg import Kind, write_seg
from medunet.io.results.sr import write_sr
from tests.io.scans import LABELS, MAKER, Scan, some_mask, write_enhanced, write_projection, write_scan

ALL = {**LABELS, 9: Label(name="spleen")}


def report_of(scan: Scan, mask: np.ndarray, folder: Path, kind: Kind = "auto") -> hd.sr.Comprehensive3DSR:
    segments = write_seg(folder / "seg.dcm", mask, scan.reference, ALL, MAKER, kind) if mask.any() else None
    warnings = write_sr(folder / "sr.dcm", mask, scan.reference, ALL, MAKER, segments)
    assert ["label blob" in told for told in warnings] == [True]
    return hd.sr.srread(folder / "sr.dcm")


@pytest.mark.parametrize("tilt_degrees", [0.0, 17.0])
def test_volumes_are_those_of_the_mask_and_refer_to_its_segments(tilt_degrees: float, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "ct", (32, 40, 6), "oblique_30", tilt_degrees)
    mask = some_mask((32, 40, 6))
    report = report_of(scan, mask, tmp_path)
    voxel_ml = 0.7 * 0.9 * 2.5 / 1000  # tilt moves slices along themselves: a voxel keeps its volume
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == 3
    for group, segment in zip(groups, seg.SegmentSequence, strict=True):
        value = next(v for v, label in ALL.items() if label.name == segment.SegmentLabel)
        (measured,) = group.get_measurements(name=pydicom.sr.codedict.codes.SCT.Volume)
        assert measured.value == pytest.approx(np.count_nonzero(mask == value) * voxel_ml)
        assert measured.unit.value == "ml"
        assert group.tracking_uid == segment.TrackingUID
        (drawn,) = (item for item in group[0].ContentSequence if "ReferencedSOPSequence" in item)
        assert drawn.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == seg.SOPInstanceUID
        assert drawn.ReferencedSOPSequence[0].ReferencedSegmentNumber == segment.SegmentNumber
    (absent,) = report.content.get_image_measurement_groups()
    assert absent.tracking_identifier == "spleen"
    assert absent.get_measurements()[0].value == 0.0


def test_the_evidence_is_the_segmentation_and_every_source_file(tmp_path: Path) -> None:
    for scan in (write_scan(tmp_path / "ct", (32, 40, 6)), write_enhanced(tmp_path / "enhanced")):
        report = report_of(scan, some_mask(scan.grid.shape), tmp_path)
        (study,) = report.CurrentRequestedProcedureEvidenceSequence
        found = {
            item.ReferencedSOPInstanceUID
            for series in study.ReferencedSeriesSequence
            for item in series.ReferencedSOPSequence
        }
        seg = pydicom.dcmread(tmp_path / "seg.dcm")
        assert found == {image.sop for image in scan.reference.images} | {seg.SOPInstanceUID}


def test_an_empty_mask_is_reported_as_nothing_found(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "ct", (32, 40, 6))
    report = report_of(scan, np.zeros((32, 40, 6), np.uint8), tmp_path)
    groups = report.content.get_image_measurement_groups()
    assert [group.get_measurements()[0].value for group in groups] == [0.0] * len(ALL)


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_a_projection_has_areas_and_no_volumes(kind: Kind, tmp_path: Path) -> None:
    scan = write_projection(tmp_path / "dx")
    mask = np.zeros((32, 40), np.uint8)
    mask[3:15, 4:13], mask[20, 30] = 2, 5
    report = report_of(scan, mask, tmp_path, kind)
    tracked = {
        s.SegmentLabel: s.get("TrackingUID") for s in pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence
    }
    assert report.content.get_volumetric_roi_measurement_groups() == []
    for group, (value, label) in zip(report.content.get_image_measurement_groups(), ALL.items(), strict=True):
        (measured,) = group.get_measurements()
        assert (measured.name.meaning, measured.unit.value) == ("Area", "mm2")
        assert measured.value == pytest.approx(np.count_nonzero(mask == value) * 0.7 * 0.9)
        assert group.tracking_identifier == label.name
        assert value not in (2, 5) or group.tracking_uid == tracked[label.name]


def test_the_report_is_preliminary_and_says_who_observed(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "ct", (32, 40, 6))
    report = report_of(scan, some_mask((32, 40, 6)), tmp_path)
    assert (report.CompletionFlag, report.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert report.PreliminaryFlag == "PRELIMINARY"
    (context,) = report.content.get_observer_contexts()
    assert (context.observer_type.meaning, context.observer_identifying_attributes.name) == (
        "Device",
        "medunet",
    )
    assert (report.PatientName, report.PatientID) == ("Mustermann^Erika", "4711")
