"""train: a recipe and a data folder become a tracked run; the same command goes on where it stopped."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medunet.config.card import Card
from medunet.config.generator import GeneratorRecipe
from medunet.config.recipe import Recipe
from medunet.config.run import RunFolder
from medunet.engine.distributed import World, join, leave, pick_device
from medunet.engine.tracking import Tracker
from medunet.errors import ConfigError
from medunet.workflows.fold import Fold, result
from medunet.workflows.generator_fold import GeneratorFold
from medunet.workflows.new_run import create, reopen, run_path
from medunet.workflows.prepare import Survey, fill_cache, survey
from medunet.workflows.progress import say
from medunet.workflows.synthetic_cases import Synthetic, synthetic_cases


@dataclass(frozen=True)
class Training:
    """What is trained, on what, where."""

    recipe: Recipe | GeneratorRecipe
    card: Card
    data: Path
    fold: int
    workspace: Path
    device: str | None = None
    name: str | None = None
    tracking_uri: str | None = None

    def run(self) -> dict[str, Any]:
        """Train to the end of the budget (or a signal) and return what `--json` prints."""
        if not 0 <= self.fold < self.recipe.folds:
            raise ConfigError(
                f"--fold {self.fold}: expected 0 to {self.recipe.folds - 1} (folds of the recipe)."
            )
        device = pick_device(self.device)
        torch.set_num_threads(self.recipe.training.threads or _cores_per_process())
        torch.set_flush_denormal(True)
        world = join(device)
        try:
            return self._run(world)
        finally:
            torch.set_flush_denormal(False)
            leave(world)

    def _run(self, world: World) -> dict[str, Any]:
        cache = self.workspace / "cache"
        found = self._survey(world, cache)
        path = run_path(self.workspace, self.name, self.recipe, found)
        if world.leads:
            create(path, self.recipe, found, world.device.type)  # type: ignore[arg-type]  # cpu, cuda or mps
        world.wait()
        run = reopen(path, self.recipe, found)
        if not world.leads:  # they find the cache filled
            world.wait()
        entries = fill_cache(found, run.plan, cache)
        if world.leads:
            world.wait()
        place = run.fold(self.fold)
        if (place / "weights.safetensors").is_file():
            say(f"{place} is trained already. Give another --name, or delete the folder, to train anew.")
            facts = json.loads((place / "fold.json").read_text(encoding="utf-8"))
            return result(run, self.fold, facts, found.failed)
        tracker = _tracker(self, run) if world.leads else None
        if isinstance(self.recipe, GeneratorRecipe):
            return GeneratorFold(run, self.fold, world, entries, tracker, found.failed, found).train()
        synthetic = self._synthetic(world, run)
        if tracker and synthetic:
            synthetic.track(tracker)
        return Fold(run, self.fold, world, entries, tracker, found.failed, synthetic=synthetic).train()

    def _synthetic(self, world: World, run: RunFolder) -> Synthetic | None:
        """Check and cache the synthetic cases on rank 0 first, as the real ones."""
        if not world.leads:
            world.wait()
        found = synthetic_cases(run, self.fold, self.workspace)
        if world.leads:
            world.wait()
        return found

    def _survey(self, world: World, cache: Path) -> Survey:
        """Survey on rank 0 first: the others find everything measured."""
        if not world.leads:
            world.wait()
        found = survey(self.card, self.data, cache)
        if world.leads:
            world.wait()
        return found


def train(
    recipe: Recipe | GeneratorRecipe, *, card: Card, data: Path, fold: int, workspace: Path, **options: Any
) -> dict[str, Any]:
    """Train one fold; see `Training` for the options. Returns {"run", "fold", "best", ...}."""
    return Training(recipe, card, data, fold, workspace, **options).run()


def _tracker(training: Training, run: RunFolder) -> Tracker:
    name = f"{run.path.name}/fold_{training.fold}"
    tracker = Tracker(
        training.tracking_uri,
        workspace=training.workspace,
        experiment=run.card.name,
        run_name=name,
        run_key=name,
        state_file=run.fold(training.fold) / "mlflow.json",
        say=say,
    )
    facts = run.origin
    tracker.params(
        {"fold": training.fold, "recipe": run.any_recipe.name, "card": run.card.name, **_flat(run.any_recipe)}
    )
    tracker.tags({"data_hash": facts["data_hash"], "git_commit": facts["commit"], **facts["versions"]})
    for file in ("config.yaml", "card.yaml", "plan.yaml"):  # not folds.json: it names patients
        tracker.file(run.path / file)
    return tracker


def _flat(recipe: Recipe | GeneratorRecipe) -> dict[str, Any]:
    names = ("training", "planning", "network", "objective", "conditioning")
    sections = {name: part for name in names if (part := getattr(recipe, name, None)) is not None}
    return {
        f"{name}.{key}": value for name, part in sections.items() for key, value in part.model_dump().items()
    }


def _cores_per_process() -> int:
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
