from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from medunet.io.deid import anatomy, keys, one_file
from medunet.io.deid.clean import Options, PrivateTag, clean
from medunet.io.deid.one_file import deidentify_file
from medunet.io.deid.verify import survivors
from medunet.io.dicom.file import read_dataset
from tests.io.deid.objects import PLANTED, ROOT, build, coded, instance_uid, written

KEY = bytes(range(32))
FOLDER = Path(one_file.__file__).parent


def left(folder: Path, original: Dataset, spoil: Callable[[Dataset], None], tail: bytes = b"") -> list[str]:
    """Return what the verifier finds after a cleaning that `spoil` has spoiled."""
    source = written(folder / "in.dcm", original)
    dataset = read_dataset(source)
    clean(dataset, KEY, Options())
    spoil(dataset)
    path = written(folder / "out.dcm", dataset)
    path.write_bytes(path.read_bytes() + tail)
    return survivors(source, path)


def put(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(dataset, keyword, value)


def add(tag: int, vr: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: dataset.add_new(tag, vr, value)


def private(vr: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: dataset.private_block(0x0029, "NEW", create=True).add_new(1, vr, value)


def nested(dataset: Dataset) -> None:
    inner, outer = Dataset(), Dataset()
    inner.ReferencedSOPInstanceUID = instance_uid("ct", 0)
    outer.SourceImageSequence = [inner]
    dataset.DerivationImageSequence = [outer]


def deep_name(dataset: Dataset) -> None:
    inner, outer = Dataset(), Dataset()
    inner.PatientName = "Zweistein"
    outer.ModifiedAttributesSequence = [inner]
    dataset.OriginalAttributesSequence = [outer]


def in_pixels(text: bytes) -> Callable[[Dataset], None]:
    def spoil(dataset: Dataset) -> None:
        dataset["PixelData"].value = dataset.PixelData + text.ljust(len(text) + len(text) % 2)

    return spoil


def in_meta(dataset: Dataset) -> None:
    dataset.file_meta.SourceApplicationEntityTitle = "KLINIKAE"


def in_preamble(dataset: Dataset) -> None:
    dataset.preamble = b"Zweistein".ljust(128, b"\0")


def no_mark(dataset: Dataset) -> None:
    del dataset.PatientIdentityRemoved


SPOILED = {
    "name": (put("PatientName", "ZWEISTEIN"), "a name or number of a person in PatientName"),
    "second name": (put("PatientName", "x^quirina"), "PatientName"),
    "ideographic": (put("PatientName", "X=李白"), "PatientName"),
    "phonetic": (put("ContentDescription", "アルベ"), "ContentDescription"),
    "name inside a word": (put("ImageComments", "frauzweisteinhier"), "ImageComments"),
    "short name": (put("ImageComments", "Frau Xu"), "a name or number of a person in ImageComments"),
    "name in a label": (put("SequenceName", "Doktorow_3d"), "SequenceName"),
    "number": (put("PatientID", "KH-7730921"), "PatientID"),
    "number in a comment": (put("ImageComments", "siehe KH-7730921"), "ImageComments"),
    "telephone": (put("ImageComments", "030-5550198"), "ImageComments"),
    "institution": (put("InstitutionName", "Waldklinik Nordhagen"), "a text in InstitutionName"),
    "description": (put("SeriesDescription", "thorax nordhagen 3mm"), "SeriesDescription"),
    "station": (put("StationName", "CTRAUM17"), "StationName"),
    "private text": (put("ImageComments", "PRIVATTEXT Zweistein"), "ImageComments"),
    "private bytes": (put("ImageComments", "GEHEIMNISVOLL Zweistein"), "ImageComments"),
    "overlay label": (put("ImageComments", "OVERLAYTEXT"), "ImageComments"),
    "birth date": (put("PatientBirthDate", "19470311"), "PatientBirthDate"),
    "birth date as text": (put("ImageComments", "geb. 19470311"), "a date in ImageComments"),
    "date": (put("StudyDate", "20200131"), "a date in StudyDate"),
    "old form of date": (put("AcquisitionDate", "2020.02.03"), "a date in AcquisitionDate"),
    "date and time": (put("AcquisitionDateTime", "20200203101112"), "a date in AcquisitionDateTime"),
    "instance UID": (put("SOPInstanceUID", instance_uid("ct", 0)), "a UID in"),
    "nested UID": (nested, "a UID in ReferencedSOPInstanceUID"),
    "UID as text": (put("ImageComments", f"from {ROOT}.20200131.1"), "a UID in the raw bytes"),
    "device UID": (put("DeviceUID", PLANTED["DeviceUID"]), "a UID in DeviceUID"),
    "nested name": (deep_name, "a name or number of a person in PatientName"),
    "local code": (put("ProcedureCodeSequence", [coded("1", "99X", "Zweistein")]), "CodeMeaning"),
    "private": (private("US", 1), "a private attribute"),
    "overlay": (add(0x60020010, "US", 4), "an overlay or curve"),
    "curve": (add(0x50000022, "LO", "x"), "an overlay or curve"),
    "trailing padding": (add(0xFFFCFFFC, "OB", b"\0\0"), "padding after the data set"),
    "file meta": (in_meta, "a value in SourceApplicationEntityTitle"),
    "preamble": (in_preamble, "bytes in the preamble"),
    "no mark": (no_mark, "no word that the identity was removed"),
    "name in pixels": (in_pixels(b"ZWEISTEIN"), "a name, number or text in the raw bytes"),
    "utf-8 name in pixels": (in_pixels("李白".encode()), "in the raw bytes"),
    "UID in pixels": (in_pixels(instance_uid("ct").encode()), "a UID in the raw bytes"),
    "date in pixels": (in_pixels(b" 20200131 "), "a date in the raw bytes"),
    "comment in pixels": (in_pixels(b"Kontrolle Zweistein"), "in the raw bytes"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_a_broken_cleaner_leaves_is_found(case: str, tmp_path: Path):
    spoil, said = SPOILED[case]
    original = build("ct")
    original.NameOfPhysiciansReadingStudy = "Xu^Li"
    found = left(tmp_path, original, spoil)
    assert any(said in text for text in found), found
    assert not any(str(value) in " ".join(found) for value in PLANTED.values())  # words, never values


def test_a_sound_cleaning_leaves_nothing(tmp_path: Path):
    assert left(tmp_path, build("ct"), lambda dataset: None) == []


def test_bytes_after_the_end_are_searched(tmp_path: Path):
    padding = b"\xfc\xff\xfc\xffOB\0\0\x0c\0\0\0Zweistein Q\0"
    found = left(tmp_path, build("ct"), lambda dataset: None, padding)
    assert "padding after the data set" in found
    assert "a name, number or text in the raw bytes" in found


def test_a_comment_inside_a_compressed_frame_is_found(tmp_path: Path):
    original = build("ct")
    original.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    frame = b"\xff\xd8\xff\xfe\x00\x10Zweistein A.\0\xff\xd9"
    original.PixelData = encapsulate([frame.ljust(len(frame) + len(frame) % 2, b"\0")])
    original["PixelData"].VR, original["PixelData"].is_undefined_length = "OB", True
    outcome = deidentify_file(written(tmp_path / "in.dcm", original), tmp_path / "out", KEY, Options())
    assert outcome.state == "failed"
    assert "survived (a name, number or text in the raw bytes)" in outcome.reason
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []  # not even a part


@pytest.mark.parametrize(
    "function",
    [
        "_clean_meta",
        "_trim_pixels",
        "_Cleaner._uid",
        "_Cleaner._moved",
        "_Cleaner._value",
    ],
)
def test_a_cleaner_without_one_of_its_steps_exports_nothing(
    function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = sys.modules["medunet.io.deid.clean"]
    skips: dict[str, Callable[..., object]] = {
        "_Cleaner._uid": lambda self, uid: uid,
        "_Cleaner._moved": lambda self, vr, text: text,
        "_Cleaner._value": lambda self, element, action: element.value,
        "_clean_meta": lambda dataset: None,
        "_trim_pixels": lambda dataset: None,
    }
    original = build("seg")
    original["PixelData"].value = original.PixelData + b"ZWEISTEIN"
    holder, name = (module._Cleaner, function[9:]) if "." in function else (module, function)
    monkeypatch.setattr(holder, name, skips[function])
    outcome = deidentify_file(written(tmp_path / "in.dcm", original), tmp_path / "out", KEY, Options())
    assert outcome.state == "failed", outcome
    assert "survived" in outcome.reason
    assert list((tmp_path / "out").rglob("*.dcm")) == []


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "Brain^Head"),
        ("PatientName", "Abdomen"),
        ("PatientName", "CT^MR"),
        ("PatientName", "M"),
        ("PatientName", "Siemens^Anna"),
        ("PatientName", "Anonymous"),
        ("PatientName", "Descriptor"),  # stands in the words about the method
        ("PatientID", "1"),
        ("PatientID", "100"),
        ("PatientID", "000000"),
        ("PatientID", "123456"),
        ("PatientID", "AXIAL"),
        ("AccessionNumber", "3"),
        ("StudyDescription", "ABDOMEN"),
        ("SeriesDescription", "AXIAL"),
        ("InstitutionName", "SIEMENS"),
        ("StudyID", "YES"),
        ("StationName", "CT"),
        ("PatientComments", "1.000000"),
        ("PatientComments", "1.2.840.10008.5.1.4.1.1.2"),
        ("PatientID", "101500"),  # the time of the study, too
        ("PatientComments", "RGB 16 bit MONOCHROME2"),
    ],
)
def test_short_and_common_words_raise_no_alarm(keyword: str, value: str, tmp_path: Path):
    original = build("ct", planted=False)
    original.ManufacturerModelName, original.SoftwareVersions = "Model 100", "123456.7 100"
    original.AnatomicRegionSequence = [coded("818981001", "SCT", "Abdomen")]
    setattr(original, keyword, value)
    outcome = deidentify_file(written(tmp_path / "in.dcm", original), tmp_path / "out", KEY, Options())
    assert outcome.state == "written", outcome.reason


def test_what_was_cleaned_before_is_cleaned_again(tmp_path: Path):
    original = build("seg")
    original.RetrieveURL, original.ContrastBolusAgent = "http://removed.invalid", "GIVEN"
    first = deidentify_file(written(tmp_path / "in.dcm", original), tmp_path / "a", KEY, Options())
    second = deidentify_file(tmp_path / "a" / first.name, tmp_path / "b", bytes(32), Options())
    assert second.state == "written", second.reason
    assert second.name.split("/")[0] != first.name.split("/")[0]


def test_words_of_private_bytes_may_stand_in_formal_values(tmp_path: Path):
    original = build("mr", planted=False)
    text = b"\0ORIGINAL\0 1.2.840.10008.5.1.4.1.1.4\0MONOCHROME2\x0010:15 101500.000000\0"
    original.StudyTime = "101500.000000"
    original.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", text)
    outcome = deidentify_file(written(tmp_path / "in.dcm", original), tmp_path / "out", KEY, Options())
    assert outcome.state == "written", outcome.reason


def test_a_moved_date_may_meet_another_one(tmp_path: Path):
    """The date of the series, moved, is that of the study: no survivor."""
    original = build("ct", planted=False)
    there = date(2020, 1, 31) - timedelta(keys.shift_days(KEY, PLANTED["PatientID"]))
    original.SeriesDate = there.strftime("%Y%m%d")
    outcome = deidentify_file(written(tmp_path / "in.dcm", original), tmp_path / "out", KEY, Options())
    assert outcome.state == "written", outcome.reason


def test_a_private_attribute_that_was_not_asked_for_is_found(tmp_path: Path):
    original = build("ct", planted=False)
    block = original.private_block(0x0019, "MAKER", create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x0D, "IS", "1000")
    source = written(tmp_path / "in.dcm", original)
    cleaned = read_dataset(source)
    clean(
        cleaned, KEY, Options(keep_private=(PrivateTag("MAKER", 0x19, 0x0C), PrivateTag("MAKER", 0x19, 0x0D)))
    )
    path = written(tmp_path / "out.dcm", cleaned)
    both = [("MAKER", 0x19, 0x0C), ("MAKER", 0x19, 0x0D)]
    assert survivors(source, path, both) == []
    assert survivors(source, path, both[:1]) == ["a private attribute"]


@pytest.mark.parametrize("name", ["verify.py", "needles.py"])
def test_the_verifier_shares_no_code_with_the_cleaner(name: str):
    tree = ast.parse((FOLDER / name).read_text(encoding="utf-8"))
    ours = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    used = {module for module in ours if module.startswith("medunet")}
    public = {anatomy.__name__, "medunet.io.deid", "medunet.io.deid.needles", "medunet.io.dicom.file"}
    assert used <= public
