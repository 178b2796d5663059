"""train: a recipe and a data folder become a tracked run; the same command again goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import math
import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medunet.config.card import Card
from medunet.config.load import write_yaml
from medunet.config.plan import Plan
from medunet.config.recipe import Recipe
from medunet.config.run import Folds, RunFolder
from medunet.data.cache import Entry
from medunet.data.sampling import Batches, PatchSource
from medunet.data.splits import folds_of, strata_of
from medunet.engine.checkpoint import save_weights
from medunet.engine.distributed import World, join, leave, pick_device
from medunet.engine.loop import Outcome, Trainer
from medunet.engine.tracking import Tracker
from medunet.errors import ConfigError, MedunetError
from medunet.io.write import write_atomic
from medunet.tasks.segment import SegmentationLoss, ValidationScore, make_network, predict_outputs
from medunet.workflows.origin import origin
from medunet.workflows.overlay import overlay
from medunet.workflows.prepare import Survey, fill_cache, plan_for, survey
from medunet.workflows.progress import Bar, progress, say

PICTURES = 3  # overlays of held-out cases that go to MLflow
GPU_WORKERS = 8


@dataclass
class Training:
    """One fold of one run, wired together."""

    recipe: Recipe
    card: Card
    data: Path
    fold: int
    workspace: Path
    device: str | None = None
    name: str | None = None
    tracking_uri: str | None = None

    def run(self) -> dict[str, Any]:
        """Train to the end of the budget (or a signal) and return what `--json` prints."""
        device = pick_device(self.device)
        torch.set_num_threads(self.recipe.training.threads or _cores_per_process())
        torch.set_flush_denormal(True)
        world = join(device)
        try:
            return self._run(world)
        finally:
            leave(world)

    def _run(self, world: World) -> dict[str, Any]:
        cache = self.workspace / "cache"
        if world.leads:
            found = survey(self.card, self.data, cache)
            world.wait()
        else:
            world.wait()
            found = survey(self.card, self.data, cache)
        folder = self._folder(found)
        plan = self._open(found, folder, world)
        entries = fill_cache(found, plan, cache)
        run = RunFolder.open(folder)
        place = run.fold(self.fold)
        if (place / "weights.safetensors").is_file():
            say(f"{place} is trained already. Give another --name, or delete the folder, to train anew.")
            return _result(run, self.fold, json.loads((place / "fold.json").read_text(encoding="utf-8")))
        fold = Fold(self, world, run, entries, _tracker(self, run, world))
        return fold.train()

    def _folder(self, found: Survey) -> Path:
        """Return the run folder: named by what decides the result, so that the same command finds it."""
        what = [self.recipe.model_dump_json(), self.card.model_dump_json(), found.data_hash]
        short = hashlib.sha256("|".join(what).encode()).hexdigest()[:8]
        return self.workspace / "runs" / (self.name or f"{self.recipe.name}-{short}")

    def _open(self, found: Survey, folder: Path, world: World) -> Plan:
        """Write config, card, plan and folds of a new run, or check that an old one is the same."""
        if world.leads and not (folder / "run.json").is_file():
            self._create(found, folder)
        world.wait()
        run = RunFolder.open(folder)
        mine = (self.recipe.model_dump_json(), self.card.model_dump_json(), found.data_hash)
        if (run.recipe.model_dump_json(), run.card.model_dump_json(), run.origin["data_hash"]) != mine:
            raise ConfigError(
                f"{folder}: was made with another recipe, card or data. "
                "Give another --name, or the same options."
            )
        if not 0 <= self.fold < self.recipe.folds:
            raise ConfigError(
                f"--fold {self.fold}: expected 0 to {self.recipe.folds - 1} (folds of the recipe)."
            )
        return run.plan

    def _create(self, found: Survey, folder: Path) -> None:
        plan = plan_for(found, self.recipe, _device_kind(pick_device(self.device)))
        for reason in plan.reasons:
            say(f"plan: {reason}")
        prints = found.fingerprints
        strata = strata_of([p.kind for p in prints.values()], [p.labelled_share for p in prints.values()])
        patients = {case: found.cases[case].patient for case in prints}
        seed = self.recipe.training.seed
        folds = Folds(
            seed=seed,
            validation=folds_of(patients, dict(zip(prints, strata, strict=True)), self.recipe.folds, seed),
            patients=patients,
            content=found.content,
        )
        folder.mkdir(parents=True, exist_ok=True)
        write_yaml(folder / "config.yaml", self.recipe.model_dump(mode="json"))
        write_yaml(folder / "card.yaml", self.card.model_dump(mode="json"))
        write_yaml(folder / "plan.yaml", plan.model_dump(mode="json"))
        (folder / "folds.json").write_text(folds.model_dump_json(indent=1), encoding="utf-8")
        facts = {
            "data": str(self.data.absolute()),
            "data_hash": found.data_hash,
            "failed": found.failed,
            **origin(),
        }
        with write_atomic(folder / "run.json") as temporary:  # last: a run with run.json is complete
            temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")


@dataclass
class Fold:
    """The training of one fold: data, network and reports for the engine."""

    training: Training
    world: World
    run: RunFolder
    entries: dict[str, Entry]
    tracker: Tracker | None

    @cached_property
    def held_out(self) -> list[Entry]:
        """The cached validation cases."""
        wanted = self.run.folds.validation[self.training.fold]
        return [self.entries[case] for case in wanted if case in self.entries]

    @cached_property
    def folder(self) -> Path:
        """The folder of the fold."""
        return self.run.fold(self.training.fold)

    def train(self) -> dict[str, Any]:
        """Fit, keep the weights, score all held-out cases."""
        recipe, plan, world = self.run.recipe, self.run.plan, self.world
        torch.manual_seed(recipe.training.seed)
        network = make_network(plan, recipe)
        self.folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            self.bar = (
                stack.enter_context(progress(f"Training fold {self.training.fold}", 100))
                if world.leads
                else None
            )
            log = stack.enter_context((self.folder / "metrics.jsonl").open("a", encoding="utf-8"))
            trainer = Trainer(
                network,
                SegmentationLoss(recipe),
                self._batches(network).starting_at,
                recipe.training,
                world,
                self.folder,
                lambda step, share, numbers: self._report(log, step, share, numbers),
                self._score(recipe.training.validate_cases),
            )
            try:
                outcome = trainer.fit()
            except MedunetError:
                self._close("FAILED")
                raise
        if outcome.ending == "stopped":
            self._close("KILLED")
            say(f"Stopped at step {outcome.state.step}; saved. Run the same command to go on.")
            return _result(self.run, self.training.fold, {"ending": "stopped", "best": outcome.state.best})
        return self._finish(trainer, outcome)

    def _batches(self, network: torch.nn.Module) -> Batches:
        recipe, plan = self.run.recipe, self.run.plan
        held_out = {entry.case for entry in self.held_out}
        source = PatchSource(
            [entry for case, entry in self.entries.items() if case not in held_out],
            network.snap(plan.patch_voxels),  # type: ignore[operator]
            plan.spacing_mm,
            recipe.augmentation,
            recipe.training.foreground,
            recipe.training.seed,
            network.margin,  # type: ignore[arg-type]
            self.run.card.mirror_pairs,
        )
        workers = recipe.training.workers
        if workers is None:
            workers = 1 if self.world.device.type == "cpu" else GPU_WORKERS
        return Batches(source, plan.batch_size, self.world.rank, self.world.size, workers)

    def _score(self, cases: int | None) -> ValidationScore | None:
        chosen = (
            self.held_out
            if cases is None
            else self.held_out[:: max(1, -(-len(self.held_out) // max(1, cases)))]
        )
        if cases == 0 or not chosen:
            return None
        recipe = self.run.recipe
        return ValidationScore(chosen, self.run.plan, recipe, self.run.card.label_names, self.world.device)

    def _report(self, log: Any, step: int, share: float, numbers: dict[str, float]) -> None:
        if not self.world.leads:
            return
        log.write(json.dumps({"step": step, "share": round(share, 5), **_rounded(numbers)}) + "\n")
        log.flush()
        if self.tracker:
            self.tracker.metrics(step, numbers)
        if self.bar:
            _show(self.bar, step, share, numbers)

    def _finish(self, trainer: Trainer, outcome: Outcome) -> dict[str, Any]:
        """Write weights last: a fold with weights is a finished fold."""
        facts: dict[str, Any] = {
            "ending": outcome.ending,
            "steps": outcome.state.step,
            "seconds": round(trainer.clock.spent, 1),
            "steps_per_second": round(outcome.steps_per_second, 3),
            "wait_share": round(outcome.wait_share, 4),
            "best": outcome.state.best,
            "final": None,
        }
        if self.world.leads:
            network = make_network(self.run.plan, self.run.recipe)
            network.load_state_dict(outcome.weights)
            if score := self._score(None):
                facts["final"] = score(network.to(self.world.device).eval())
                best = [
                    b
                    for b in (outcome.state.best, facts["final"]["score"])
                    if b is not None and math.isfinite(b)
                ]
                facts["best"] = max(best)
            (self.folder / "fold.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
            save_weights(self.folder / "weights.safetensors", outcome.weights, {"made_by": "medunet"})
            trainer.checkpoints.clear()
            self._track_results(network, facts)
            self._close("FINISHED")
        self.world.wait()
        return _result(self.run, self.training.fold, facts)

    def _track_results(self, network: torch.nn.Module, facts: dict[str, Any]) -> None:
        if self.tracker is None:
            return
        if facts["final"]:
            self.tracker.metrics(facts["steps"], {f"final_{k}": v for k, v in facts["final"].items()})
        for entry in self.held_out[:PICTURES]:
            image = np.asarray(entry.image, np.float32)
            truth = np.asarray(entry.mask)
            plan, recipe = self.run.plan, self.run.recipe
            found = predict_outputs(
                [network], torch.from_numpy(image), plan, recipe, truth.shape, self.world.device
            )
            self.tracker.picture(f"overlays/{entry.case}.png", overlay(image, truth, found, plan.spacing_mm))
        self.tracker.file(self.folder / "fold.json")
        self.tracker.file(self.folder / "metrics.jsonl")
        self.tracker.model(self.run.path, "medunet.workflows.served:load")

    def _close(self, status: Any) -> None:
        if self.tracker:
            self.tracker.close(status)


def train(
    recipe: Recipe, *, card: Card, data: Path, fold: int, workspace: Path, **options: Any
) -> dict[str, Any]:
    """Train one fold; see `Training` for the options. Returns {"run", "fold", "best", ...}."""
    return Training(recipe, card, data, fold, workspace, **options).run()


def _tracker(training: Training, run: RunFolder, world: World) -> Tracker | None:
    if not world.leads:
        return None
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
        {"fold": training.fold, "recipe": run.recipe.name, "card": run.card.name, **_flat(run.recipe)}
    )
    tracker.tags({"data_hash": facts["data_hash"], "git_commit": facts["commit"], **facts["versions"]})
    for file in ("config.yaml", "card.yaml", "plan.yaml", "folds.json"):
        tracker.file(run.path / file)
    return tracker


def _flat(recipe: Recipe) -> dict[str, Any]:
    sections = {"training": recipe.training, "planning": recipe.planning, "network": recipe.network}
    return {
        f"{name}.{key}": value for name, part in sections.items() for key, value in part.model_dump().items()
    }


def _result(run: RunFolder, fold: int, facts: dict[str, Any]) -> dict[str, Any]:
    return {"run": str(run.path), "fold": fold, **facts, "failed": run.origin["failed"]}


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in numbers.items()}


def _show(bar: Bar, step: int, share: float, numbers: dict[str, float]) -> None:
    if "validation_score" in numbers:
        say(f"step {step}: held-out Dice {numbers['validation_score']:.3f}")
        return
    wait = 100 * numbers.get("wait_share", 0.0)
    speed = numbers.get("steps_per_second", 0.0)
    bar.note(f"step {step}  loss {numbers['loss']:.3f}  {speed:.1f} steps/s  waiting for data {wait:.0f} %")
    bar.advance(100 * share - bar.done)


def _cores_per_process() -> int:
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _device_kind(device: torch.device) -> Any:
    return device.type
