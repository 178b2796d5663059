from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from medunet.io.deid import keys
from medunet.io.deid.clean import Options, PrivateTag, clean, identity_of
from medunet.io.deid.one_file import Outcome, deidentify_file
from medunet.io.deid.profile import CODES, LABELS, TECHNICAL
from medunet.io.dicom.file import read_dataset
from tests.io.deid.objects import (
    CLASSES,
    KINDS,
    MODALITY,
    NEEDLES,
    PLACE,
    PLANTED,
    SERIES,
    STUDY,
    build,
    forms,
    instance_uid,
    read,
    written,
)

KEY, OTHER_KEY = bytes(range(32)), bytes(32)


def cleaned(folder: Path, dataset: Dataset, key: bytes = KEY, options: Options | None = None) -> Dataset:
    """Return the object as it comes out, read again."""
    source = written(folder / "in.dcm", dataset)
    outcome = deidentify_file(source, folder / "out", key, options or Options())
    assert outcome.state in ("written", "unchanged"), outcome
    return read(folder / "out" / outcome.name)


def days_of(patient: str = PLANTED["PatientID"]) -> int:
    return keys.shift_days(KEY, patient)


def moved(text: str, days: int) -> str:
    there = date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    return date.fromordinal(there.toordinal() + days).strftime("%Y%m%d")


@pytest.mark.parametrize("kind", KINDS)
def test_no_planted_string_survives(kind: str, tmp_path: Path):
    assert len(PLANTED) >= 35
    assert len(NEEDLES) >= 33
    source = written(tmp_path / "in.dcm", build(kind))
    before = source.read_bytes().lower()
    there = [needle for needle in NEEDLES if any(form in before for form in forms(needle))]
    assert len(there) >= len(NEEDLES) - (kind == "rtstruct")  # a structure set has no pixels
    outcome = deidentify_file(source, tmp_path / "out", KEY, Options())
    assert outcome.state == "written", outcome.reason
    after = (tmp_path / "out" / outcome.name).read_bytes().lower()
    assert [needle for needle in NEEDLES if any(form in after for form in forms(needle))] == []
    assert [needle for needle in NEEDLES if needle.lower() in outcome.name.lower()] == []


def test_the_same_key_gives_the_same_bytes_and_another_key_other_uids(tmp_path: Path):
    one, again, other = (
        cleaned(tmp_path / str(i), build("ct"), key) for i, key in enumerate((KEY, KEY, OTHER_KEY))
    )
    assert one == again
    for word in (
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "FrameOfReferenceUID",
        "PatientID",
    ):
        assert one[word].value != other[word].value
        assert one[word].value != build("ct")[word].value
    files = [next((tmp_path / str(i) / "out").rglob("*.dcm")) for i in range(2)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].name == files[1].name


def test_results_still_refer_to_their_scan(tmp_path: Path):
    found = {kind: cleaned(tmp_path / kind, build(kind)) for kind in KINDS}
    scans = [cleaned(tmp_path / f"ct{i}", build("ct", i)) for i in range(2)]
    uids = [scan.SOPInstanceUID for scan in scans]
    for dataset in found.values():
        assert dataset.StudyInstanceUID == scans[0].StudyInstanceUID
        assert dataset.FrameOfReferenceUID == scans[0].FrameOfReferenceUID
        assert dataset.PatientID == scans[0].PatientID == keys.pseudonym(KEY, PLANTED["PatientID"])
    series = found["seg"].ReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == scans[0].SeriesInstanceUID
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence] == uids
    frames = found["seg"].PerFrameFunctionalGroupsSequence
    sources = [f.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID for f in frames]
    assert sources == uids
    drawn = found["rtstruct"].ReferencedFrameOfReferenceSequence[0]
    assert drawn.FrameOfReferenceUID == scans[0].FrameOfReferenceUID
    study = drawn.RTReferencedStudySequence[0]
    assert study.ReferencedSOPInstanceUID == scans[0].StudyInstanceUID
    images = study.RTReferencedSeriesSequence[0].ContourImageSequence
    assert [item.ReferencedSOPInstanceUID for item in images] == uids
    roi = found["rtstruct"].StructureSetROISequence[0]
    assert roi.ReferencedFrameOfReferenceUID == scans[0].FrameOfReferenceUID


def test_uids_of_the_standard_stay(tmp_path: Path):
    dataset = build("seg")
    public, local = Dataset(), Dataset()
    public.CodingSchemeDesignator, public.CodingSchemeUID = "SCT", "2.16.840.1.113883.6.96"
    local.CodingSchemeDesignator, local.CodingSchemeUID = "99WALD", "1.2.276.0.76.3.1.99"
    dataset.CodingSchemeIdentificationSequence = [public, local]
    dataset.ReferencedSeriesSequence[0].FrameOfReferenceUID = "1.2.840.10008.1.4.1.1"  # Talairach
    found = cleaned(tmp_path, dataset)
    assert found.SOPClassUID == CLASSES["seg"]
    assert found.file_meta.MediaStorageSOPClassUID == CLASSES["seg"]
    assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID
    public, local = found.CodingSchemeIdentificationSequence
    assert public.CodingSchemeUID == "2.16.840.1.113883.6.96"
    assert local.CodingSchemeDesignator == "99REMOVED"
    assert "CodingSchemeUID" not in local
    assert found.ReferencedSeriesSequence[0].FrameOfReferenceUID == "1.2.840.10008.1.4.1.1"
    assert (
        found.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0].ReferencedSOPClassUID == CLASSES["ct"]
    )


@pytest.mark.parametrize("uid", ["1.2.3", STUDY, PLACE, "../../etc/passwd", "0" * 64])
def test_new_uids_are_legal(uid: str):
    new = UID(keys.new_uid(KEY, uid))
    assert new.is_valid
    assert new.startswith("2.25.")
    assert new == keys.new_uid(KEY, f"{uid}\0")  # padding is no other UID


def test_dates_keep_their_intervals(tmp_path: Path):
    found, days = cleaned(tmp_path, build("enhanced")), days_of()
    assert -3652 <= days <= -366
    assert found.StudyDate == moved("20200131", days)
    assert found.SeriesDate == moved("20200201", days)
    assert found.AcquisitionDate.replace(".", "") == moved("20200203", days)
    assert found.AcquisitionDateTime == moved("20200203", days) + "101112.123456+0100"
    assert found.StudyTime == "101500"
    content = found.PerFrameFunctionalGroupsSequence[1].FrameContentSequence[0]
    assert content.FrameAcquisitionDateTime == moved("20200203", days) + "101111"
    assert not found.PatientBirthDate
    assert "PatientBirthTime" not in found
    assert days != keys.shift_days(KEY, "another patient")


def test_what_is_said_about_the_cleaning(tmp_path: Path):
    found = cleaned(tmp_path, build("mr"))
    assert found.PatientIdentityRemoved == "YES"
    assert found.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [item.CodeValue for item in found.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105", "113107"]
    assert found.preamble == b"\0" * 128
    beside = {element.keyword for element in found.file_meta if element.tag >= 0x00020004}
    assert beside == {"TransferSyntaxUID", "ImplementationClassUID", "ImplementationVersionName"}


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless]
)
def test_pixels_stay_bit_for_bit(syntax: UID, tmp_path: Path):
    dataset = build("mr", planted=False)
    before = np.frombuffer(dataset.PixelData, "<u2").reshape(6, 7)
    dataset.PatientComments = "Zweistein"
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        dataset.PixelData = before.astype(">u2").tobytes()
        dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = syntax
    found = cleaned(tmp_path, dataset)
    assert np.array_equal(found.pixel_array, before)
    deflated = syntax == DeflatedExplicitVRLittleEndian
    assert found.file_meta.TransferSyntaxUID.is_deflated is False
    assert deflated or found.file_meta.TransferSyntaxUID == syntax


def test_geometry_and_machine_stay(tmp_path: Path):
    dataset = build("ct", 1)
    dataset.ConvolutionKernel, dataset.KVP, dataset.RescaleSlope = "B30f", "120", "1"
    dataset.ManufacturerModelName, dataset.SoftwareVersions = "Somatom", ["VA40", "VA41"]
    found = cleaned(tmp_path, dataset)
    kept = (
        "Rows Columns PixelSpacing SliceThickness ImagePositionPatient ImageOrientationPatient ImageType KVP"
    )
    kept += (
        " BodyPartExamined Manufacturer ManufacturerModelName SoftwareVersions ConvolutionKernel RescaleSlope"
    )
    for word in (*kept.split(), "InstanceNumber", "SeriesNumber", "Modality"):
        assert found[word].value == dataset[word].value, word


def test_labels_stay_unless_they_name_someone(tmp_path: Path):
    found = cleaned(tmp_path, build("seg"))
    assert [segment.SegmentLabel for segment in found.SegmentSequence] == ["Liver", "removed"]
    public, local = (segment.SegmentedPropertyTypeCodeSequence[0] for segment in found.SegmentSequence)
    assert (public.CodeValue, public.CodeMeaning) == ("10200004", "Liver")
    words = (local.CodeValue, local.CodeMeaning, local.CodingSchemeDesignator)
    assert words == ("removed", "removed", "99REMOVED")  # a hospital's own list of codes
    assert cleaned(tmp_path / "rt", build("rtstruct")).StructureSetROISequence[0].ROIName == "Liver"


def test_a_patient_named_like_an_organ_keeps_its_labels(tmp_path: Path):
    dataset = build("seg", planted=False)
    dataset.PatientName, dataset.PatientID, dataset.ContentCreatorName = "Liver^Case", "LIVER-01", None
    dataset.SegmentSequence[1].SegmentLabel = "Liver vessels"
    found = cleaned(tmp_path, dataset)
    assert [segment.SegmentLabel for segment in found.SegmentSequence] == ["Liver", "Liver vessels"]


@pytest.mark.parametrize("word", ["BodyPartExamined", "ImageType", "ManufacturerModelName", "SequenceName"])
def test_a_name_in_a_technical_attribute_goes(word: str, tmp_path: Path):
    dataset = build("mr", planted=False)
    setattr(dataset, word, "ZWEISTEIN")
    assert str(cleaned(tmp_path, dataset)[word].value).lower() == "removed"


def test_the_number_of_the_patient_in_place_of_a_series_number_goes(tmp_path: Path):
    dataset = build("mr", planted=False)
    dataset.PatientID, dataset.SeriesNumber = "123456", 123456
    found = cleaned(tmp_path, dataset)
    assert found.SeriesNumber is None


def test_characteristics_stay_on_request_and_great_age_is_hidden(tmp_path: Path):
    dataset = build("ct")
    dataset.PatientSex, dataset.PatientAge, dataset.PatientWeight = "F", "093Y", "61.5"
    found = cleaned(tmp_path / "a", dataset)
    assert not found.PatientSex
    assert "PatientAge" not in found
    assert "PatientWeight" not in found
    kept = cleaned(tmp_path / "b", dataset, options=Options(keep_characteristics=True))
    assert (kept.PatientSex, kept.PatientAge, float(kept.PatientWeight)) == ("F", "090Y", 61.5)
    assert "113108" in [item.CodeValue for item in kept.DeidentificationMethodCodeSequence]


def test_private_numbers_stay_on_request_and_private_text_never(tmp_path: Path):
    dataset = build("mr")
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x0D, "LO", "DIRECTIONAL")
    block.add_new(0x0E, "FD", [0.5, 0.5, 0.0])
    wishes = tuple(PrivateTag("SIEMENS MR HEADER", 0x0019, element) for element in (0x0C, 0x0D, 0x0E))
    found = cleaned(tmp_path, dataset, options=Options(keep_private=wishes))
    there = found.private_block(0x0019, "SIEMENS MR HEADER")
    assert (there[0x0C].value, there[0x0E].value) == (1000, [0.5, 0.5, 0.0])
    assert 0x0D not in there
    assert [tag for tag in found if tag.tag.group == 0x0029] == []
    assert "113111" in [item.CodeValue for item in found.DeidentificationMethodCodeSequence]


def test_patients_without_number_stay_apart():
    one, other = build("ct"), build("ct")
    one.PatientID = other.PatientID = ""
    other.StudyInstanceUID = f"{STUDY}.2"
    assert identity_of(one) != identity_of(other)


VALUES: dict[str, object] = {"AS": "042Y", "DA": "20200131", "DT": "20200131101112", "TM": "101112"}
VALUES |= {"AT": 0x00100010, "UI": f"{STUDY}.77", "CS": "GEHEIM", "DS": "1.5", "IS": "7", "SQ": []}
VALUES |= dict.fromkeys(("FD", "FL", "US", "SS", "UL", "SL", "UV", "SV"), 1)
SECRET = "geheimnisvoll"
BYTES = (SECRET + "\0").encode()


def every_attribute() -> Dataset:
    """Return a CT that has every attribute of the dictionary, text and bytes with a secret in them."""
    dataset = build("ct", planted=False)
    for number, (vr, *_) in DicomDictionary.items():
        tag, kind = Tag(number), vr.split(" or ")[0]
        if tag.group in (0x0002, 0x0028, 0xFFFE) or tag.group >= 0x7FE0 or keyword_for_tag(tag) in _NEEDED:
            continue
        value = BYTES if kind in ("OB", "OW", "OF", "OD", "OL", "OV", "UN") else VALUES.get(kind, SECRET)
        dataset[tag] = DataElement(tag, kind, Sequence() if kind == "SQ" else value)
    return dataset


_NEEDED = {"SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "PatientID",
           "SpecificCharacterSet"}  # fmt: skip


def test_of_every_attribute_of_the_dictionary_no_text_and_no_uid_survives():
    dataset = every_attribute()
    assert len(dataset) > 4500
    days = keys.shift_days(KEY, identity_of(dataset))
    clean(dataset, KEY, Options())
    dates = {"DA": moved("20200131", days), "DT": moved("20200131", days) + "101112"}
    classes = set()
    for element in dataset:
        if element.is_empty or element.VR == "SQ":
            continue
        text = element.value.decode("latin-1") if isinstance(element.value, bytes) else str(element.value)
        if SECRET in text:
            assert element.tag in TECHNICAL | LABELS | CODES or element.VR in ("OF", "OD", "OL", "OV"), (
                element
            )
        if element.VR in dates:
            assert text == dates[element.VR], element
        if f"{STUDY}.77" in text:
            classes.add(element.keyword)
    kinds = ("Class", "Syntax", "Context", "Mapping", "Scheme")
    assert [word for word in classes if not any(kind in word for kind in kinds)] == []


@pytest.mark.parametrize("depth", [0, 1, 2, 30])
@pytest.mark.parametrize(("vr", "value"), [*VALUES.items(), ("LO", SECRET), ("UN", BYTES), ("PN", SECRET)])
def test_private_attributes_of_every_kind_go_at_every_depth(vr: str, value: object, depth: int):
    dataset = build("ct", planted=False)
    inner = dataset
    for _ in range(depth):
        item = Dataset()
        inner.SegmentSequence = [item]
        inner = item
    inner.private_block(0x0029, "WALD", create=True).add_new(1, vr, value)
    clean(dataset, KEY, Options())
    assert [element for element in dataset.iterall() if element.tag.is_private] == []


@pytest.mark.parametrize("vr", ["OB", "LT", "UT", "CS", "PN", "UI", "SH"])
@pytest.mark.parametrize("tag", [0x00082112, 0x00100010, 0x00180050, 0x00620005, 0x00101010, 0x00080100])
def test_a_secret_under_another_value_representation_goes(tag: int, vr: str):
    dataset = build("ct", planted=False)
    dataset.PatientName = f"{SECRET}^A"
    dataset[tag] = DataElement(Tag(tag), vr, BYTES if vr in ("UN", "OB") else SECRET)
    dataset.SOPClassUID = CLASSES["ct"]
    clean(dataset, KEY, Options())
    assert SECRET not in str(dataset.get(tag)), dataset[tag]


@pytest.mark.parametrize(
    ("before", "after"), [("Omnipaque 350", "GIVEN"), ("NONE", "NONE"), ("", ""), ("no", "NONE")]
)
def test_whether_contrast_was_given_stays(before: str, after: str):
    dataset = build("ct", planted=False)
    dataset.ContrastBolusAgent, dataset.BodyPartExamined = before, "Abdomen"
    clean(dataset, KEY, Options())
    assert (dataset.ContrastBolusAgent or "") == after
    assert dataset.BodyPartExamined == "ABDOMEN"


def test_values_that_have_not_the_form_of_their_kind_go(tmp_path: Path):
    dataset = build("ct", planted=False)
    dataset.add_new(0x00080023, "DA", "born in May")
    dataset.add_new(0x00080033, "TM", "at noon")
    dataset.add_new(0x00180015, "CS", "Dr. Who")
    source = written(tmp_path / "in.dcm", dataset)
    raw = source.read_bytes().replace(b"DS\x04\x003.0 ", b"DS\x04\x00x.0 ")  # SliceThickness
    source.write_bytes(raw)
    outcome = deidentify_file(source, tmp_path / "out", KEY, Options())
    assert outcome.state == "written"
    found = read(tmp_path / "out" / outcome.name)
    for word in ("ContentDate", "ContentTime", "BodyPartExamined", "SliceThickness"):
        assert not found[word].value, word


@pytest.mark.parametrize("word", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_an_object_without_its_place_is_refused_in_words(word: str, tmp_path: Path):
    dataset = build("ct", planted=False)
    source = written(tmp_path / "in.dcm", dataset)
    data = read_dataset(source)
    data[word].value = ""
    data.save_as(source)
    outcome = deidentify_file(source, tmp_path / "out", KEY, Options())
    assert outcome == Outcome(
        "failed", f"the file names no {word}: where it belongs is not known; export it again"
    )
    assert not (tmp_path / "out").exists()


def test_the_phantoms_are_what_their_names_say():
    assert {kind: build(kind).Modality for kind in KINDS} == MODALITY
    assert instance_uid("ct", 1).startswith(SERIES["ct"])
