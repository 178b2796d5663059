from __future__ import annotations

import pytest

from medunet.config.base import parse
from medunet.config.recipe import Recipe
from medunet.errors import ConfigError


def test_every_problem_is_told_at_once_with_its_key_and_value():
    values = {"name": "x", "card": "y", "training": {"learnig_rate": 1, "clip_norm": -3}, "folds": 1}
    with pytest.raises(ConfigError) as error:
        parse(Recipe, values, where="mine.yaml")
    text = str(error.value)
    assert text.startswith("mine.yaml: 3 problem(s)")
    assert "training.clip_norm" in text
    assert "(got -3)" in text
    assert "training.learnig_rate: unknown key; known keys here: budget, learning_rate" in text
    assert "folds" in text


def test_missing_keys_are_named():
    with pytest.raises(ConfigError, match="card: missing"):
        parse(Recipe, {"name": "x"}, where="mine.yaml")


def test_a_list_instead_of_keys_is_refused_in_words():
    with pytest.raises(ConfigError, match="expected `key: value` lines, found list"):
        parse(Recipe, ["a"], where="mine.yaml")


def test_records_do_not_change():
    recipe = parse(Recipe, {"name": "x", "card": "y"}, where="here")
    with pytest.raises(ValueError, match="frozen"):
        recipe.name = "z"  # type: ignore[misc]
