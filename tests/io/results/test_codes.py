from __future__ import annotations

from itertools import pairwise

import pytest

from medunet.config.card import Label
from medunet.io.results.codes import CATEGORIES, coding_of


@pytest.mark.parametrize(
    ("name", "code", "side", "category"),
    [
        ("liver", "10200004", None, "91723000"),
        ("Kidney (left)", "64033007", "Left", "91723000"),
        ("lung_lower_lobe_right", "90572001", "Right", "91723000"),  # the words in any order
        ("lung_middle_lobe_right", "72481006", None, "91723000"),  # the concept says the side itself
        ("vertebrae_L1", "66794005", None, "91723000"),
        ("brachiocephalic_trunk", "12691009", None, "91723000"),  # listed as innominate artery
        ("urinary_bladder", "89837001", None, "91723000"),
        ("small_bowel", "30315005", None, "91723000"),
        ("blood_vessels", "59820001", None, "91723000"),
        ("muscle", "91727004", None, "85756007"),
        ("stent", "65818007", None, "260787004"),
        ("screw", "68183006", None, "260787004"),
        ("clip", "77720000", None, "260787004"),
        ("implant", "40388003", None, "260787004"),
        ("gas", "74947009", None, "91720002"),
        ("urine", "78014005", None, "91720002"),
        ("normal", "17621005", None, "309825002"),
        ("tumour", "108369006", None, "49755003"),
        ("edema", "79654002", None, "49755003"),
    ],
)
def test_a_concept_is_found_by_its_name(name: str, code: str, side: str | None, category: str) -> None:
    found = coding_of(1, Label(name=name))
    assert (found.type.value, found.category.value) == (code, category)
    assert (found.side.meaning if found.side else None) == side
    assert found.warning == ""


def test_the_code_of_the_card_comes_first() -> None:
    found = coding_of(2, Label(name="posterior left", snomed="5366008"))
    assert (found.type.meaning, found.side.meaning) == ("Hippocampus", "Left")
    assert (found.category.meaning, found.warning) == ("Anatomical Structure", "")
    stent = coding_of(2, Label(name="tube", snomed="65818007"))
    assert (stent.category.meaning, stent.warning) == ("Physical object", "")


def test_a_code_that_no_list_of_segments_holds_has_a_guessed_category_and_is_told() -> None:
    found = coding_of(2, Label(name="my part", snomed="123456789"))
    assert (found.type.value, found.type.meaning) == ("123456789", "my part")
    assert found.category.meaning == "Anatomical Structure"
    assert "label my part: DICOM lists no segments of code 123456789" in found.warning


NONE = "axon anterior posterior central left edge air GTV wall walls ventricles body"


@pytest.mark.parametrize("name", NONE.split())
def test_what_is_no_segment_is_tissue_and_told(name: str) -> None:
    found = coding_of(3, Label(name=name))
    assert (found.type.value, found.category.value) == ("85756007", "85756007")
    assert f"label {name}: " in found.warning
    assert "snomed" in found.warning


def test_every_category_is_the_one_of_its_list() -> None:
    """CID 7150 says which context group holds the types of which category."""
    from pydicom.sr._cid_dict import cid_concepts, name_for_cid

    for group, category in CATEGORIES.items():
        named = category.meaning.replace(" ", "") + "SegmentationPropertyType"
        assert name_for_cid[group].casefold() == named.casefold()
    assert len(CATEGORIES) == len(cid_concepts[7150]["SCT"])


def test_neighbouring_labels_have_colours_that_differ() -> None:
    colours = [coding_of(value, Label(name="liver")).rgb for value in range(1, 30)]
    assert len(set(colours)) == 29
    assert min(sum(abs(a - b) for a, b in zip(*pair, strict=True)) for pair in pairwise(colours)) > 100
