from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from medunet.config.card import Label
from medunet.errors import DataError
from medunet.io.drawn.regions import label_map
from medunet.io.drawn.seg import read_seg
from medunet.io.results.seg import write_seg
from tests.io.scans import LABELS, MAKER, NAME, Scan, some_mask, write_enhanced, write_projection, write_scan

LABELMAP, BINARY = "1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.66.4"


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    return write_scan(tmp_path / "ct", (32, 40, 6))


def test_eight_segments_are_binary_and_nine_a_labelmap(scan: Scan, tmp_path: Path) -> None:
    labels = {value: Label(name=f"part {value}") for value in range(1, 20)}
    for count, expected in ((8, BINARY), (9, LABELMAP)):
        mask = np.zeros(scan.grid.shape, np.uint8)
        mask[:count, 3, 2] = np.arange(count) * 2 + 1  # every second label is absent
        segments = write_seg(tmp_path / "seg.dcm", mask, scan.reference, labels, MAKER)
        found = pydicom.dcmread(tmp_path / "seg.dcm")
        assert segments.sop_class == found.SOPClassUID == expected
        named = [item.SegmentLabel for item in found.SegmentSequence]
        assert named == ["Background"] * (expected == LABELMAP) + [f"part {2 * n + 1}" for n in range(count)]
        back = label_map(
            read_seg(tmp_path / "seg.dcm", scan.grid), mask.shape, {n: v for v, n in segments.numbers.items()}
        )
        assert np.array_equal(back, mask)


def test_a_segment_says_what_it_is_and_what_made_it(scan: Scan, tmp_path: Path) -> None:
    mask = some_mask(scan.grid.shape)
    segments = write_seg(tmp_path / "seg.dcm", mask, scan.reference, LABELS, MAKER)
    found = pydicom.dcmread(tmp_path / "seg.dcm")
    liver, kidney, blob = found.SegmentSequence
    (kind,) = kidney.SegmentedPropertyTypeCodeSequence
    assert (kind.CodeValue, kind.CodingSchemeDesignator) == ("64033007", "SCT")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert liver.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Anatomical Structure"
    assert blob.SegmentedPropertyTypeCodeSequence[0].CodeValue == "85756007"
    assert segments.warnings == tuple(w for w in segments.warnings if "label blob" in w)
    assert len(segments.warnings) == 1
    (algorithm,) = liver.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("spleen_ct", "1.2.0")
    assert MAKER.model_sha256 in algorithm.AlgorithmParameters
    assert algorithm.AlgorithmFamilyCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    assert len({item.TrackingUID for item in found.SegmentSequence}) == 3
    assert len(liver.RecommendedDisplayCIELabValue) == 3
    assert found.ContentCreatorName == "medunet^"


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_every_frame_refers_to_the_image_it_lies_on(kind: str, tmp_path: Path) -> None:
    for scan in (
        write_scan(tmp_path / "ct", (24, 20, 6), "double_oblique", 10.0),
        write_enhanced(tmp_path / "enhanced"),
    ):
        write_seg(tmp_path / "seg.dcm", some_mask(scan.grid.shape), scan.reference, LABELS, MAKER, kind)
        found = pydicom.dcmread(tmp_path / "seg.dcm")
        images = {(image.sop, image.frame): image for image in scan.reference.images}
        assert found.FrameOfReferenceUID == scan.reference.place
        assert found.ReferencedSeriesSequence[0].SeriesInstanceUID == scan.reference.series
        sops = {
            item.ReferencedSOPInstanceUID
            for item in found.ReferencedSeriesSequence[0].ReferencedInstanceSequence
        }
        assert sops == {sop for sop, _ in images}
        for group in found.PerFrameFunctionalGroupsSequence:
            (source,) = group.DerivationImageSequence[0].SourceImageSequence
            image = images[source.ReferencedSOPInstanceUID, source.get("ReferencedFrameNumber", 0)]
            assert source.ReferencedSOPClassUID == image.sop_class
            position = group.PlanePositionSequence[0].ImagePositionPatient
            assert np.allclose(position, image.plane.position_lps, atol=1e-6)
        assert len(found.PerFrameFunctionalGroupsSequence) < 3 * 6  # no frame for a slice without the segment


def test_odd_identity_is_copied_and_never_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pydicom.config.disable_value_validation():
        scan = write_scan(
            tmp_path / "ct", (32, 40, 6), PatientBirthDate="3.2.50", PatientSex="U", PatientName="Müßig^Ünal",
            SpecificCharacterSet="ISO_IR 100", StudyDate="gestern", SeriesDate="20240103", SeriesTime="x",
        )  # fmt: skip
    with caplog.at_level("DEBUG"):
        write_seg(tmp_path / "seg.dcm", some_mask(scan.grid.shape), scan.reference, LABELS, MAKER)
    found = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (found.PatientBirthDate, found.PatientSex, found.StudyDate) == ("3.2.50", "U", "gestern")
    assert found.PatientName == "Müßig^Ünal"
    assert (found.ContentDate, found.ContentTime) == ("20240103", "000000")
    source = pydicom.dcmread(scan.files[0])
    for secret in ("Müßig", "3.2.50", "4711", source.StudyInstanceUID, source.SOPInstanceUID):
        assert secret not in caplog.text


def test_a_projection_can_be_segmented_too(tmp_path: Path) -> None:
    scan = write_projection(tmp_path / "dx")
    mask = some_mask((32, 40, 3))[:, :, 0]
    segments = write_seg(tmp_path / "seg.dcm", mask, scan.reference, LABELS, MAKER)
    back = label_map(
        read_seg(tmp_path / "seg.dcm", scan.grid), mask.shape, {n: v for v, n in segments.numbers.items()}
    )
    assert np.array_equal(back, mask)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m[:-1], r"found a mask of uint8 \(31, 40, 6\).*\(32, 40, 6\)"),
        (lambda m: m.astype(float), "found a mask of float64"),
        (lambda m: m * 0, "the mask is empty"),
        (lambda m: m + 6, r"holds \[6, 7, 8, 11\], which are no labels"),
    ],
)
def test_what_is_no_mask_is_refused_and_nothing_is_left(
    change, expected: str, scan: Scan, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=expected) as caught:
        write_seg(
            tmp_path / "out" / "seg.dcm", change(some_mask(scan.grid.shape)), scan.reference, LABELS, MAKER
        )
    assert NAME not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("matrix", [(23, 37), (31, 69), (91, 69), (13, 29)])
def test_frames_that_begin_within_a_byte_come_back(matrix: tuple[int, int], tmp_path: Path) -> None:
    """Single bits are packed over the borders of frames; 38 frames begin at every place within a byte."""
    scan = write_scan(tmp_path / "odd", (*matrix, 20))
    mask = np.random.default_rng(0).integers(0, 3, scan.grid.shape).astype(np.uint8)
    labels = {value: LABELS[value] for value in (1, 2)}
    segments = write_seg(tmp_path / "seg.dcm", mask, scan.reference, labels, MAKER, "binary")
    back = label_map(
        read_seg(tmp_path / "seg.dcm", scan.grid), mask.shape, {n: v for v, n in segments.numbers.items()}
    )
    assert np.array_equal(back, mask)
