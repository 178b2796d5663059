"""A tiny generator, trained once for all tests of this room that only use it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medunet.config.card import Card
from medunet.config.generator import GeneratorRecipe
from medunet.config.recipe import Recipe
from medunet.config.run import RunFolder
from medunet.workflows.train import train
from tests.phantoms import card, generator_recipe, msd_folder

Trained = Callable[..., RunFolder]


class Deaf:
    """A tracker that hears nothing; tracking has its own tests."""

    def __getattr__(self, _: str) -> object:
        return lambda *a, **k: None


def table_card() -> Card:
    """The card of `balls` with a table."""
    return card(2, attributes="facts.csv")


def trained(chosen: Recipe | GeneratorRecipe, workspace: Path, **options: Any) -> RunFolder:
    """Train one fold on `workspace/data` without tracking."""
    options = {"card": table_card(), "data": workspace / "data", "fold": 0} | options
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medunet.workflows.train.Tracker", lambda *a, **k: Deaf())
        return RunFolder.open(Path(train(chosen, workspace=workspace, **options)["run"]))


def shapes_recipe() -> GeneratorRecipe:
    """A generator of masks that learns for a second, until there are some."""
    training = {"budget": "60 steps", "learning_rate": 1e-2, "ema": 0.9}
    return generator_recipe(name="shapes", makes="masks", training=training)


def balls(workspace: Path) -> Path:
    """Write eight 2D cases and a table with a scanner and an age for each."""
    data = msd_folder(workspace / "data", 8, dims=2)
    lines = [f"case_{i:02d},{'new' if i % 4 < 2 else 'old'},{20 + 5 * i}" for i in range(8)]
    (data / "facts.csv").write_text("\n".join(["case,scanner,age", *lines]), encoding="utf-8")
    return data


@pytest.fixture(scope="session")
def generator(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A generator of fold 0, trained for four steps; its workspace is two folders up."""
    workspace = tmp_path_factory.mktemp("generator")
    balls(workspace)
    return trained(generator_recipe(), workspace)
