from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from medunet.io.deid import names
from medunet.io.deid.anatomy import is_public
from medunet.io.deid.clean import Options
from medunet.io.deid.names import Names
from medunet.io.deid.one_file import Outcome, deidentify_file
from tests.io.deid.objects import build, read, written

KEY = bytes(range(32))


def _words(text: str) -> list[str]:
    return text.split()


def structures(name: str, number: str, labels: Sequence[str]) -> Dataset:
    """Return an RTSTRUCT of a patient whose outlines have these names."""
    dataset = build("rtstruct", planted=False)
    dataset.PatientName, dataset.PatientID = name, number
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    for index, label in enumerate(labels, 1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName = index, label
        dataset.StructureSetROISequence.append(roi)
    return dataset


def labels_after(folder: Path, dataset: Dataset) -> list[str]:
    outcome = exported(folder, dataset)
    assert outcome.state == "written", outcome.reason
    return [roi.ROIName for roi in read(folder / "out" / outcome.name).StructureSetROISequence]


def exported(folder: Path, dataset: Dataset) -> Outcome:
    return deidentify_file(written(folder / "in.dcm", dataset), folder / "out", KEY, Options())


NAMED = [  # name, number and a label that must not be handed on
    ("Li^Na", "A-1", "Li Na liver"),
    ("Li^Na", "A-1", "LiNa"),
    ("Li^Na", "A-1", "NA_LI_2"),
    ("Li^Na", "A-1", "gtvLiNa"),
    ("Li Na", "A-1", "na-li"),
    ("Wang^Dong=王^东", "A-1", "王东"),
    ("Wang^Dong=王^东", "A-1", "GTV 王东"),
    ("Wang^Dong=王^东", "A-1", "王 东"),
    ("Wang^Dong=王^东", "A-1", "左肺王"),
    ("Wang^Dong=王^东", "A-1", "dongwang"),
    ("Kim^Chulsoo=金^哲洙=김^철수", "A-1", "김철수"),
    ("Yamada^Taro=山田^太郎=ヤマダ^タロウ", "A-1", "ﾔﾏﾀﾞ肝"),
    ("สมชาย^ใจดี", "A-1", "ตับสมชาย"),
    ("Иванов^Иван", "A-1", "иванов 2 liver"),
    ("Smith^John", "A-1", "SmithJohn 2019"),
    ("Smith^John", "A-1", "johnsmith"),
    ("Smith^John", "A-1", "GTVsmith"),
    ("Smith^John", "A-1", "Smith2"),
    ("Smith^John", "A-1", "smiths tumour"),
    ("Wu^Yi", "A-1", "Yi, Wu"),
    ("Meyer", "A-1", "Meyer1965"),
    ("Müller^Jürgen", "A-1", "Muller_L"),
    ("O'Brien^Pat", "A-1", "obrien"),
    ("Lung^Rose", "A-1", "RoseLung"),
    ("Hidden", "12345", "12345"),
    ("Hidden", "12345", "ID12345"),
    ("Hidden", "1234", "GTV 1234"),
    ("Hidden", "KH-77", "kh77 liver"),
]
ORDINARY = [
    "Schmidt^Anna",
    "Garcia^Luis",
    "Nguyen^Minh",
    "Johnson^Emily",
    "Wang^Dong=王^东",
    "Li^Na",
    "Ng^Ai",
]
HARMLESS = [
    *("left lung", "GTV 2", "Liver", "PTV_54", "SpinalCord", "Kidney_L", "optic chiasm", "External", "BODY"),
    *("Lungs", "Parotid_R", "brain stem", "Lesion 3", "Prostate", "Bowel bag", "CTV primary", "LN 4R", "肝"),
]


@pytest.mark.parametrize(("name", "number", "label"), NAMED)
def test_a_label_that_names_the_patient_is_replaced(name: str, number: str, label: str, tmp_path: Path):
    assert labels_after(tmp_path, structures(name, number, ["Liver", label])) == ["Liver", "removed"]


@pytest.mark.parametrize(("name", "number", "label"), NAMED)
def test_the_verifier_finds_it_without_the_cleaner(
    name: str, number: str, label: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Names, "stand_in", lambda self, text, typed: False)
    outcome = exported(tmp_path, structures(name, number, ["Liver", label]))
    assert outcome.state == "failed", outcome
    assert "a name or number of a person in ROIName" in outcome.reason


@pytest.mark.parametrize("keyword", ["SegmentLabel", "SegmentDescription", "TrackingID"])
def test_labels_of_segments_too(keyword: str, tmp_path: Path):
    dataset = build("seg", planted=False)
    dataset.PatientName, dataset.ContentCreatorName = "Li^Na", "Wu^Yi"
    setattr(dataset.SegmentSequence[0], keyword, "liver YiWu")
    setattr(dataset.SegmentSequence[1], keyword, "LiNa2")
    outcome = exported(tmp_path, dataset)
    assert outcome.state == "written", outcome.reason
    found = read(tmp_path / "out" / outcome.name).SegmentSequence
    assert [segment[keyword].value for segment in found] == ["removed", "removed"]


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_labels_stay(name: str, tmp_path: Path):
    assert labels_after(tmp_path, structures(name, "KH-7730921", HARMLESS)) == HARMLESS


@pytest.mark.parametrize(
    ("name", "kept", "gone"),
    [
        ("Lung^Peter", ["left lung", "LUNGS", "LungLeft"], ["peter lung", "lungpeter"]),  # a part of the body
        ("Rose^Mary", ["GTV primary", "Prostate"], ["Rose", "mary", "rosemary", "roses", "RoseM"]),
        ("Pine^Erna", ["Spine", "SpineL", "External"], ["pines 2"]),
        ("Remo^Al", ["removed", "Aldosterone"], ["Remo"]),  # the word that the cleaner writes
        ("Left^Ann", ["lung right"], ["left lung", "lung_left"]),  # lost, but exported
        ("Li^Ver", ["spleen"], ["Liver"]),
        ("Xu^Ho", ["GTV 2"], ["GTV_Xu", "Ho 2"]),
    ],
)
def test_a_name_that_is_a_common_word_costs_a_label_and_no_file(
    name: str, kept: list[str], gone: list[str], tmp_path: Path
):
    after = labels_after(tmp_path, structures(name, "A-1", [*kept, *gone]))
    assert after == [*kept, *["removed"] * len(gone)]


@pytest.mark.parametrize(
    ("name", "keyword", "value", "kept"),
    [
        ("Li^Na", "SequenceName", "LiNa_fl3d", False),  # two short words side by side are no chance
        ("Li^Na", "SequenceName", "li_fl3d", True),
        ("Li^Na", "ManufacturerModelName", "Salina 3T", True),
        ("Siemen^Jo", "Manufacturer", "SIEMENS", False),
        ("Rima^Jo", "ImageType", "PRIMARY", True),
        ("Primar^Jo", "ImageType", "PRIMARY", True),
        ("东^王", "ManufacturerModelName", "东芝", False),
    ],
)
def test_an_attribute_of_the_machine_asks_for_more(
    name: str, keyword: str, value: str, kept: bool, tmp_path: Path
):
    dataset = build("mr", planted=False)
    dataset.PatientName = name
    setattr(dataset, keyword, value)
    outcome = exported(tmp_path, dataset)
    assert outcome.state == "written", outcome.reason
    found = str(read(tmp_path / "out" / outcome.name)[keyword].value)
    assert found == (value if kept else "removed")


@pytest.mark.parametrize("number", ["AB-1-2", "1.2.3", "unknown", "TEST", "LUNG1-001", "head-neck", "100"])
def test_odd_numbers_cost_no_file(number: str, tmp_path: Path):
    labels = [number, f"ROI {number}", "GTV", "left lung"]
    after = labels_after(tmp_path, structures("Hidden^Jo", number, labels))
    assert after[2:] == labels[2:]


WORDS = _words(
    """Li Na Wu Ma Le An Kim Eva Lee Smith Meyer Müller O'Brien Van Der Rose Lung Pine Mary Erna Remo Body
    Left Siemens Primar Axial Thế Văn Ý Łukasz Søren Jean-Luc Weiß İnan Y\u0131ld\u0131z Иван Лев 王 东 小龍
    김 철수 이 ヤマダ ガンダム राम สมชาย علي Ωμέγα Dr Test Case No Unknown Seg Ct Abdomen
    Removed P01 12345 2019 A1B2"""
)
FORMS = _words(
    """{a} {a}{b} {b}~{a}~liver {a}_{b}_2 GTV{a} {a}1965 {a}s {n} ID{n} {n}~{a} left~lung External GTV~primary
    Leber 肝 x"""
)


@pytest.mark.parametrize("seed", range(120))
def test_what_the_verifier_finds_the_cleaner_has_removed(seed: int, tmp_path: Path):
    """Any name, number and label: the file is exported, and no full name of two words is in it."""
    draw = random.Random(seed)
    several = draw.choices(WORDS, k=draw.choice((1, 2, 2, 3)))
    number = draw.choice(("12345", "0012345", "KH-77", "meyer_hans", "AXIAL", "2019", "P01", "1.2.3", "Rose"))
    cased = draw.choice((str.lower, str.upper, str.title))
    a, b = draw.choice(several), draw.choice(several)
    labels = [cased(form.replace("~", " ").format(a=a, b=b, n=number)) for form in draw.choices(FORMS, k=6)]
    dataset = structures(draw.choice("^ ").join(several), number, labels)
    dataset.ManufacturerModelName, dataset.OperatorsName = f"Carolina {b}{a}", draw.choice(("RT", "Wu^Li"))
    dataset.RequestingService = draw.choice(("MRI", "Chest", "Onko", "head neck"))
    after = labels_after(tmp_path, dataset)
    if a != b and min(len(a), len(b)) > 1 and (a + b).isalpha() and cased is not str.title:
        assert cased(f"{a}{b}") not in after


def test_a_name_that_is_a_book_is_read_in_no_time():
    dataset = Dataset()
    dataset.PatientName = " ".join(f"word{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}" for i in range(5000))
    assert len(Names(dataset).full) <= 2 * names.MOST_WORDS**2 * 2


def test_public_words_are_no_persons():
    assert [word for word in ("smith", "johnson", "wang", "meyer", "mary") if is_public(word)] == []
