"""Every shipped card and recipe is valid, and its SNOMED CT codes are real."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.sr._concepts_dict import concepts

from medunet.config.load import load_any_recipe, load_card, shipped
from medunet.data.patterns import compile_pattern

CARDS = sorted(shipped("datasets").glob("*.yaml"))
RECIPES = sorted(shipped("pipelines").glob("*.yaml"))
SNOMED = {code: meaning for codes in concepts["SCT"].values() for code, (meaning, _) in codes.items()}
ASKED = {"msd_hippocampus", "dsb2018_nuclei", "hrf_vessels", "axon_sem", "msd_spleen", "proton_lung_mri"}
ASKED |= {"phantom_ct", "stardist_nuclei"}


def test_the_cards_that_were_asked_for_are_there() -> None:
    assert {path.stem for path in CARDS} >= ASKED
    assert RECIPES


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_card_is_valid_and_named_as_its_file(path: Path) -> None:
    card = load_card(path)
    assert card.name == path.stem
    for text in (card.title, card.source, card.licence):
        assert len(text) >= 3
    for pattern in (card.places.image, card.places.mask, card.places.fov):
        if pattern is not None:
            filled = pattern.replace(".*", ".png").rstrip("/")
            for name in ("case", "patient"):
                filled = filled.replace(f"{{{name}}}", "P01")
            assert compile_pattern(pattern).fullmatch(filled.replace("{channel}", "0000"))


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_snomed_codes_exist_and_mean_what_the_label_says(path: Path) -> None:
    words = {"anterior": "hippocampus", "posterior": "hippocampus", "vessels": "vessel"}
    for label in load_card(path).labels.values():
        if label.snomed is not None:
            assert label.snomed in SNOMED, f"{label.name}: {label.snomed} is not in the DICOM dictionary"
            expected = words.get(label.name, label.name.split("_")[0])
            meanings = " ".join(m for c, m in _all_meanings() if c == label.snomed)
            assert expected in meanings.lower()


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_mirror_partners_point_at_each_other(path: Path) -> None:
    labels = {label.name: label for label in load_card(path).labels.values()}
    for label in labels.values():
        if label.mirror is not None:
            assert labels[label.mirror].mirror == label.name
            assert {"left", "right"} == {label.name.split("_")[-1], label.mirror.split("_")[-1]}


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_the_readme_lists_the_card(path: Path) -> None:
    assert f"`{path.stem}`" in (path.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_valid_and_names_a_card(path: Path) -> None:
    recipe = load_any_recipe(path)
    assert recipe.name == path.stem
    assert load_card(recipe.card, near=path).labels


def _all_meanings() -> list[tuple[str, str]]:
    return [(code, meaning) for codes in concepts["SCT"].values() for code, (meaning, _) in codes.items()]
