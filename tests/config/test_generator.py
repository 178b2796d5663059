"""Recipes of generators beside those of segmenters, and their runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from medunet.config.generator import GeneratorRecipe
from medunet.config.load import load_any_recipe, load_recipe, write_yaml
from medunet.config.recipe import Recipe
from medunet.config.run import RunFolder
from medunet.errors import ConfigError
from tests.phantoms import card, generator_recipe, recipe


def run_with(chosen: Recipe | GeneratorRecipe, folder: Path, trained: tuple[int, ...] = ()) -> RunFolder:
    folder.mkdir(parents=True)
    write_yaml(folder / "config.yaml", chosen.model_dump(mode="json"))
    write_yaml(folder / "card.yaml", card(2).model_dump(mode="json"))
    (folder / "plan.yaml").touch()
    for fold in trained:
        (folder / f"fold_{fold}").mkdir()
        (folder / f"fold_{fold}/weights.safetensors").touch()
    return RunFolder.open(folder)


def test_the_task_decides_what_a_recipe_is(tmp_path: Path):
    for name, chosen in (("a", recipe()), ("b", generator_recipe())):
        write_yaml(tmp_path / f"{name}.yaml", chosen.model_dump(mode="json"))
        assert load_any_recipe(tmp_path / f"{name}.yaml") == chosen
    with pytest.raises(ConfigError, match=r"b\.yaml: makes synthetic scans.*expected a segmentation recipe"):
        load_recipe(tmp_path / "b.yaml")


@pytest.mark.parametrize("name", ["synth_hippocampus", "synth_nuclei"])
def test_shipped_generators_are_read_and_settings_reach_them(name: str):
    found = load_any_recipe(name, ["training.budget=30 steps", "sampling.masks.method=copy"])
    assert isinstance(found, GeneratorRecipe)
    assert (found.name, found.training.budget, found.sampling.masks.method) == (name, "30 steps", "copy")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"task": "paint"}, r"task"),
        ({"task": "synthesize", "name": "x", "card": "y", "loss": {"name": "dice"}}, r"loss"),
        ({"task": "synthesize", "name": "x", "card": "y", "makes": "music"}, r"makes"),
        ({"task": "synthesize", "name": "x", "card": "y", "conditioning": {"drop_all": 2}}, r"drop_all"),
    ],
)
def test_a_wrong_key_is_named(values: dict[str, object], said: str, tmp_path: Path):
    write_yaml(tmp_path / "wrong.yaml", values)
    with pytest.raises(ConfigError, match=rf"wrong\.yaml[\s\S]*{said}"):
        load_any_recipe(tmp_path / "wrong.yaml")


def test_generators_learn_flips_only():
    strengths = generator_recipe().augmentation.model_dump()
    varied = {name for name, value in strengths.items() if value and not isinstance(value, tuple | list)}
    assert varied == {"flip", "rotate_degrees", "noise_std"}  # degrees and std without their probability


def test_a_run_knows_which_kind_it_is(tmp_path: Path):
    segmenter, generator = run_with(recipe(), tmp_path / "s"), run_with(generator_recipe(), tmp_path / "g")
    assert (segmenter.makes_scans, generator.makes_scans) == (False, True)
    assert (segmenter.recipe, generator.generator) == (recipe(), generator_recipe())
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path / 's'}: is a segmentation run")):
        _ = segmenter.generator
    with pytest.raises(ConfigError, match=re.escape(f"{tmp_path / 'g'}: is a generator")):
        _ = generator.recipe


def test_the_one_trained_fold_is_meant_unless_there_are_more(tmp_path: Path):
    assert run_with(recipe(), tmp_path / "one", (2,)).one_trained() == 2
    two = run_with(recipe(), tmp_path / "two", (0, 2))
    assert two.one_trained(2) == 2
    assert RunFolder.open(tmp_path / "two/fold_2").one_trained() == 2
    with pytest.raises(ConfigError, match="folds 0, 2 are trained; name one"):
        two.one_trained()
    with pytest.raises(ConfigError, match="fold 1 has no trained weights; trained folds: 0, 2"):
        two.one_trained(1)
    with pytest.raises(ConfigError, match="no trained weights; run `medunet train`"):
        run_with(recipe(), tmp_path / "none").one_trained()


def test_another_run_is_found_by_path_or_from_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mine = run_with(generator_recipe(), tmp_path / "work/runs/mine")
    run_with(generator_recipe(), tmp_path / "work/runs/base")
    assert mine.other("runs/base").path == tmp_path / "work/runs/base"
    assert mine.other(str(tmp_path / "work/runs/base")).path == tmp_path / "work/runs/base"
    monkeypatch.chdir(tmp_path / "work/runs")
    assert RunFolder.open(Path("mine")).other("runs/base").path.resolve() == tmp_path / "work/runs/base"
    with pytest.raises(ConfigError, match="not a run"):
        mine.other("runs/nowhere")
