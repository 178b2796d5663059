from __future__ import annotations

from itertools import pairwise

import pytest

from medunet.config.card import Label
from medunet.io.dicom_codes import coding_of


@pytest.mark.parametrize(
    ("name", "code", "side", "category"),
    [
        ("liver", "10200004", None, "91723000"),
        ("Kidney (left)", "64033007", "Left", "91723000"),
        ("lung_lower_lobe_right", "90572001", "Right", "91723000"),  # the words in any order
        ("lung_middle_lobe_right", "72481006", None, "91723000"),  # the concept says the side itself
        ("blood_vessels", "59820001", None, "91723000"),
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
    unknown = coding_of(2, Label(name="my part", snomed="123456789"))
    assert (unknown.type.value, unknown.type.meaning, unknown.warning) == ("123456789", "my part", "")


def test_an_unknown_name_is_tissue_and_told() -> None:
    found = coding_of(3, Label(name="axon"))
    assert (found.type.value, found.category.value) == ("85756007", "85756007")
    assert "label axon" in found.warning
    assert "snomed" in found.warning


def test_neighbouring_labels_have_colours_that_differ() -> None:
    colours = [coding_of(value, Label(name="liver")).rgb for value in range(1, 30)]
    assert len(set(colours)) == 29
    assert min(sum(abs(a - b) for a, b in zip(*pair, strict=True)) for pair in pairwise(colours)) > 100
