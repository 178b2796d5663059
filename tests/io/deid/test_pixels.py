from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from medunet.io.deid.clean import Options
from medunet.io.deid.keys import study_key
from medunet.io.deid.one_file import deidentify_file
from medunet.io.deid.pixels import reason_to_quarantine, shows_a_head
from tests.io.deid.objects import CLASSES, KINDS, SERIES, build, coded, written

STORAGE = "1.2.840.10008.5.1.4.1.1"
SUSPECT = {
    "burned in": ({"BurnedInAnnotation": "YES"}, "burned into the pixels"),
    "ultrasound": ({"Modality": "US", "SOPClassUID": f"{STORAGE}.6.1"}, "modality US"),
    "angiography": ({"Modality": "XA", "SOPClassUID": f"{STORAGE}.12.1"}, "modality XA"),
    "endoscopy": ({"Modality": "ES", "SOPClassUID": f"{STORAGE}.77.1.1"}, "modality ES"),
    "photograph": ({"Modality": "XC", "SOPClassUID": f"{STORAGE}.77.1.4"}, "photograph"),
    "secondary capture": ({"Modality": "CT", "SOPClassUID": f"{STORAGE}.7"}, "secondary capture"),
    "other": ({"Modality": "OT"}, "modality OT"),
    "no modality": ({"Modality": ""}, "of no known kind"),
    "modality with words": ({"Modality": "Dr. Who"}, "modality of no known kind"),
    "screen shot": (
        {"ImageType": ["DERIVED", "SECONDARY", "SCREENSHOT"]},
        "image type SCREENSHOT, SECONDARY",
    ),
    "derived": ({"ImageType": ["DERIVED", "SECONDARY"]}, "image type SECONDARY"),
    "one word": ({"ImageType": "SECONDARY"}, "image type SECONDARY"),
    "scan that says it is a SEG": ({"Modality": "SEG"}, "modality SEG"),
    "colour": ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "a colour picture (RGB)"),
    "plain film": ({"Modality": "CR", "SOPClassUID": f"{STORAGE}.1"}, "CR that does not say"),
    "PDF": ({"Modality": "DOC", "SOPClassUID": f"{STORAGE}.104.1"}, "a document in DICOM"),
    "CDA": ({"Modality": "SR", "SOPClassUID": f"{STORAGE}.104.2"}, "a document in DICOM"),
    "presentation": ({"Modality": "PR", "SOPClassUID": f"{STORAGE}.11.1"}, "a presentation state"),
    "waveform": ({"Modality": "ECG", "SOPClassUID": f"{STORAGE}.9.1.1"}, "a waveform"),
    "DICOMDIR": ({"SOPClassUID": "1.2.840.10008.1.3.10"}, "a DICOMDIR"),
    "private object": ({"SOPClassUID": "1.3.12.2.1107.5.9.1"}, "only its maker knows"),
    "label of a slide": (
        {"Modality": "SM", "ImageType": ["ORIGINAL", "PRIMARY", "LABEL"]},
        "image type LABEL",
    ),
    "report with pixels": ({"Modality": "SR"}, "modality SR"),
}


@pytest.mark.parametrize("case", SUSPECT)
def test_what_may_show_a_name_is_quarantined(case: str, tmp_path: Path):
    changes, said = SUSPECT[case]
    dataset = build("ct")
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    assert said in (reason_to_quarantine(dataset) or "")
    outcome = deidentify_file(written(tmp_path / "in.dcm", dataset), tmp_path / "out", bytes(32), Options())
    assert outcome.state == "quarantined"
    assert said in outcome.reason
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_scans_and_results_pass(kind: str):
    assert reason_to_quarantine(build(kind)) is None


def test_a_projection_that_says_it_is_clean_passes():
    dataset = build("ct")
    dataset.Modality, dataset.SOPClassUID, dataset.BurnedInAnnotation = "DX", f"{STORAGE}.1.1", "NO"
    assert reason_to_quarantine(dataset) is None


def test_reports_pass_only_without_free_text():
    report = Dataset()
    report.Modality, report.SOPClassUID = "SR", f"{STORAGE}.88.33"
    item = Dataset()
    item.ValueType, item.TextValue = "TEXT", ""
    report.ContentSequence = [item]
    assert reason_to_quarantine(report) is None
    item.TextValue = "Frau Zweistein"
    assert reason_to_quarantine(report) == "a report with free text"


def test_an_overlay_in_the_bits_of_the_pixels_is_quarantined():
    dataset = build("ct", planted=False)
    dataset.add_new(0x60000010, "US", 6)
    dataset.add_new(0x60000102, "US", 0)
    assert reason_to_quarantine(dataset) is None
    dataset.add_new(0x60000102, "US", 12)
    assert "unused bits" in (reason_to_quarantine(dataset) or "")


@pytest.mark.parametrize("by_series", [True, False])
def test_a_person_may_release_what_is_quarantined(by_series: bool, tmp_path: Path):
    dataset = build("ct")
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    path = written(tmp_path / "in.dcm", dataset)
    name = study_key(bytes(32), SERIES["ct"] if by_series else str(path.resolve()))
    outcome = deidentify_file(path, tmp_path / "out", bytes(32), Options(reviewed=frozenset({name})))
    assert outcome.state == "written", outcome
    other = Options(reviewed=frozenset({"0" * 12}))
    assert deidentify_file(path, tmp_path / "b", bytes(32), other).state == "quarantined"


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("BodyPartExamined", "HEAD", True),
        ("StudyDescription", "MRT Kopf nativ", True),
        ("SeriesDescription", "t1_mprage_brain", True),
        ("ProtocolName", "Schädel CT", True),
        ("AnatomicRegionSequence", [coded("12738006", "SCT", "Brain")], True),
        ("BodyPartExamined", "ABDOMEN", False),
        ("StudyDescription", "femoral head", True),  # rather once too often
        ("StudyDescription", "Thorax ahead", False),
    ],
)
def test_a_face_is_warned_of(keyword: str, value: object, expected: bool):
    dataset = build("mr", planted=False)
    dataset.BodyPartExamined = ""
    setattr(dataset, keyword, value)
    assert shows_a_head(dataset) is expected
    dataset.Modality = "SEG"
    assert not shows_a_head(dataset)


def test_the_classes_of_the_phantoms_are_known():
    assert all(uid.startswith(STORAGE) for uid in CLASSES.values())
