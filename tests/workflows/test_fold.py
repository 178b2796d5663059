from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from medunet.data.cache import Entry
from medunet.engine.distributed import World
from medunet.engine.schedule import Clock
from medunet.workflows.fold import Fold
from medunet.workflows.new_run import create, reopen
from medunet.workflows.prepare import fill_cache, survey
from tests.phantoms import card, msd_folder, recipe

ALONE = World(0, 1, torch.device("cpu"))


class Listens:
    """A tracker that remembers what it was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **_: self.calls.append((name, args))

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [args for called, args in self.calls if called == name]


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Fold, Listens, dict[str, Any]]:
    chosen, listens = recipe(), Listens()
    found = survey(card(), msd_folder(tmp_path / "data", 6), tmp_path / "cache")
    create(tmp_path / "run", chosen, found, "cpu")
    run = reopen(tmp_path / "run", chosen, found)
    entries: dict[str, Entry] = fill_cache(found, run.plan, tmp_path / "cache")
    fold = Fold(run, 0, ALONE, entries, listens, {"case_99": "unreadable"})  # type: ignore[arg-type]
    return fold, listens, fold.train()


def test_held_out_cases_are_never_trained_on(trained: tuple[Fold, Listens, dict[str, Any]]):
    fold, _, _ = trained
    network = torch.nn.Identity()
    network.margin, network.snap = (0, 0, 0), tuple  # type: ignore[assignment]
    seen = {entry.case for entry in fold._batches(network).source.entries}
    held_out = {entry.case for entry in fold.held_out}
    assert held_out == set(fold.run.folds.validation[0])
    assert seen | held_out == set(fold.entries)
    assert not seen & held_out


def test_tracking_hears_curves_pictures_model_and_end(trained: tuple[Fold, Listens, dict[str, Any]]):
    fold, listens, result = trained
    curves = {name for args in listens.named("metrics") for name in args[1]}
    assert {"loss", "learning_rate", "wait_share", "validation_score", "final_score"} <= curves
    pictures = listens.named("picture")
    assert len(pictures) == 3
    assert pictures[0][1].shape[-1] == 3
    assert listens.named("model")[0][0] == fold.folder
    assert listens.named("close") == [("FINISHED",)]
    assert fold.run.recipe.training.validate_cases == 2
    assert result["best"] > 0
    assert result["final"]["score"] > 0


def test_what_could_not_be_used_is_told_and_pictures_name_no_case(
    trained: tuple[Fold, Listens, dict[str, Any]],
):
    fold, listens, result = trained
    assert result["failed"] == {"case_99": "unreadable"}
    logged = " ".join(str(args[0]) for args in (*listens.named("picture"), *listens.named("file")))
    assert not [case for case in fold.entries if case in logged]


@pytest.mark.parametrize(
    ("clock", "steps"), [(Clock(None, 10), 8), (Clock(6e4, None, 3e4), 99), (Clock(6e4, None, 5e4), 0)]
)
def test_the_last_part_of_the_budget_is_learnt_from_real_cases(clock: Clock, steps: int):
    """In steps: exactly the last fifth. In time: by the clock, whatever the batch."""
    chosen = recipe(synthetic={"set": "any", "batch_share": 0.4}, training={"accumulate": 2})
    fold = Fold(SimpleNamespace(recipe=chosen), 0, ALONE, {}, None, {})  # type: ignore[arg-type]
    fold.trainer = SimpleNamespace(clock=clock)  # type: ignore[assignment]
    fold.learners = [None] * 3  # type: ignore[assignment]
    fold.synthetic = SimpleNamespace(entries=[None] * 6)  # type: ignore[assignment]
    assert [fold._share(batch) for batch in range(40)] == [
        0.4 if batch < 2 * steps else 0.0 for batch in range(40)
    ]
    fold.synthetic = SimpleNamespace(entries=[None])  # type: ignore[assignment]
    assert fold._share(0) == (0.25 if steps else 0.0)
