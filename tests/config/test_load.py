from __future__ import annotations

from pathlib import Path

import pytest

from medunet.config.load import find_yaml, load_card, load_recipe, read_yaml, with_settings
from medunet.errors import ConfigError


def test_settings_reach_nested_keys_and_are_read_as_yaml():
    values = with_settings({"training": {"ema": 0.9}}, ["training.budget=5m", "planning.spacing_mm=[1, 2]"])
    assert values == {"training": {"ema": 0.9, "budget": "5m"}, "planning": {"spacing_mm": [1, 2]}}


def test_a_setting_without_equals_sign_is_refused():
    with pytest.raises(ConfigError, match="expected key=value"):
        with_settings({}, ["training.budget"])


def test_shipped_recipes_are_found_by_name_and_old_fashioned_path():
    by_path = find_yaml("pipelines/hippocampus_mr.yaml", "pipelines")
    assert find_yaml("hippocampus_mr", "pipelines") == by_path.resolve()


def test_an_unknown_recipe_lists_the_known_ones():
    with pytest.raises(ConfigError, match="no such recipe.*hippocampus_mr"):
        load_recipe("hippocampos")


def test_a_card_beside_the_recipe_comes_first(tmp_path: Path):
    shipped = read_yaml(find_yaml("msd_hippocampus", "datasets"))
    text = find_yaml("msd_hippocampus", "datasets").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text.replace(shipped["title"], "Mine"), encoding="utf-8")
    assert load_card("mine.yaml", near=tmp_path / "recipe.yaml").title == "Mine"


def test_broken_yaml_names_the_file_and_line(tmp_path: Path):
    path = tmp_path / "broken.yaml"
    path.write_text("name: [1, 2\ncard: x", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"(?s)broken.yaml: not readable as YAML.*line 2"):
        load_recipe(path)


def test_yaml_that_would_run_code_is_refused(tmp_path: Path):
    path = tmp_path / "evil.yaml"
    path.write_text("name: !!python/object/apply:os.getcwd []", encoding="utf-8")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        read_yaml(path)


def test_a_huge_file_is_not_read(tmp_path: Path):
    path = tmp_path / "huge.yaml"
    path.write_bytes(b"a: 1\n" * 300_000)
    with pytest.raises(ConfigError, match="below 1 MB"):
        read_yaml(path)


@pytest.mark.parametrize("bad", ["10", "ten minutes", "0m", "-5 steps", "0 steps"])
def test_a_budget_needs_a_unit_and_must_be_positive(bad: str):
    with pytest.raises(ConfigError, match=r"training\.budget"):
        load_recipe("hippocampus_mr", [f"training.budget={bad}"])


@pytest.mark.parametrize("text", ["title: 2019-02-30", "[" * 5000])
def test_yaml_that_breaks_the_parser_is_an_error_of_the_file(tmp_path: Path, text: str):
    (tmp_path / "card.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        read_yaml(tmp_path / "card.yaml")


def test_a_recipe_beside_that_is_called_like_the_card_is_not_taken_for_it(tmp_path: Path):
    recipe = tmp_path / "phantom_ct.yaml"
    recipe.write_text("name: mine\ncard: phantom_ct\n", encoding="utf-8")
    other = tmp_path / "other.yaml"
    other.write_text("name: mine\ncard: phantom_ct\n", encoding="utf-8")
    assert load_card("phantom_ct", near=recipe).name == "phantom_ct"
    assert load_card("phantom_ct", near=other).name == "phantom_ct"


@pytest.mark.parametrize(
    "setting",
    [
        "planning.spacing_mm=[0, 1, 1]",
        "planning.spacing_mm=[-1, 1, 1]",
        "planning.patch_voxels=[-64, 64, 64]",
        "planning.patch_voxels=[64]",
        "augmentation.flip_axes=[7]",
        "augmentation.scale_range=[0, 0]",
        "augmentation.blur_voxels=[0, 1]",
        "training.seed=-1",
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(setting: str):
    with pytest.raises(ConfigError, match=setting.partition("=")[0]):
        load_recipe("spleen_ct", [setting])
