"""The sets of a study: a generator on the same patients, samples shared by arms, and the arm's own gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from medunet.config.recipe import Recipe
from medunet.config.run import RunFolder
from medunet.errors import ConfigError
from medunet.workflows import study_sets
from medunet.workflows.dose_grid import SetOrder
from medunet.workflows.study_sets import SetMaker
from medunet.workflows.synthetic_set import SyntheticSet
from medunet.workflows.train import train
from tests.phantoms import card, generator_recipe, msd_folder, recipe
from tests.workflows.test_train import Deaf


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetOrder:
    monkeypatch.setattr("medunet.workflows.train.Tracker", lambda *a, **k: Deaf())
    data = msd_folder(tmp_path / "data", 8, dims=2)
    wanted: Recipe = recipe(
        planning={"batch_size": 2, "patch_voxels": (16, 16)},
        training={"budget": "2 steps", "validate_cases": 0, "patients": 3, "split_seed": 0},
    )
    control = train(wanted, card=card(2), data=data, fold=0, workspace=tmp_path)
    return SetOrder(wanted, card(2), data, tmp_path, 0, 3, "generated", 1.0, Path(control["run"]) / "fold_0")


def test_arms_share_samples_and_the_generator_knows_the_same_patients(
    order: SetOrder, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def admitting(place: Path, **how: Any) -> dict[str, int]:
        asked.append((place.name, how))
        return {"admitted": len(SyntheticSet.open(place).samples()) - 4}

    monkeypatch.setattr(study_sets, "admit", admitting)
    make = SetMaker(generator_recipe())
    first, second = make(order), make(order.__class__(**{**vars(order), "arm": "gated"}))
    sets = SyntheticSet.open(first), SyntheticSet.open(second)
    assert sets[0].manifest == sets[1].manifest
    assert len(sets[0].samples()) == 12  # 3 are wanted; of 6 the gate has let 2 through, so there are 12
    learnt = RunFolder.open(Path(sets[0].manifest.generator)).folds
    control = RunFolder.open(order.control)
    assert set(learnt.training(0)) == set(control.folds.training(0))
    assert [name.rpartition("-")[2] for name, _ in asked] == ["generated", "generated", "gated"]
    assert [how.get("segmenter") is not None for _, how in asked] == [False, False, True]
    assert make.key != SetMaker(generator_recipe(name="other")).key
    assert "agreement" not in asked[0][1]["settings"].checks
    made = json.loads((first / "manifest.json").read_text(encoding="utf-8"))["masks"]
    assert made == "copy"


def test_a_generator_that_was_stopped_ends_the_set(order: SetOrder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(study_sets, "train", lambda *a, **k: {"run": "runs/g", "ending": "stopped"})
    with pytest.raises(ConfigError, match="was stopped"):
        SetMaker(generator_recipe())(order)
