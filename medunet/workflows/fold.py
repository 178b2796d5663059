"""One fold of a run: patches, network, reports and results, handed to the engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medunet.config.recipe import Training
from medunet.config.run import RunFolder
from medunet.data.cache import Entry
from medunet.data.sampling import Batches, PatchSource
from medunet.engine.checkpoint import save_weights
from medunet.engine.distributed import World
from medunet.engine.loop import Loss, Outcome, Score, Trainer
from medunet.engine.tracking import Tracker
from medunet.io.write import write_atomic
from medunet.tasks.segment import SegmentationLoss, ValidationScore, make_network, predict_outputs
from medunet.workflows.overlay import overlay
from medunet.workflows.progress import Bar, progress, say
from medunet.workflows.served import LOADER
from medunet.workflows.synthetic_cases import Synthetic

PICTURES = 3  # overlays of held-out cases that go to MLflow
GPU_WORKERS = 8


@dataclass
class Fold:
    """The training of one fold: data, network and reports for the engine."""

    run: RunFolder
    number: int
    world: World
    entries: dict[str, Entry]
    tracker: Tracker | None
    failed: Mapping[str, str]  # case -> why it could not be used
    synthetic: Synthetic | None = field(default=None, kw_only=True)

    @cached_property
    def held_out(self) -> list[Entry]:
        """The cached validation cases."""
        wanted = self.run.folds.validation[self.number]
        return [self.entries[case] for case in wanted if case in self.entries]

    @cached_property
    def learners(self) -> list[Entry]:
        """The cached training cases."""
        wanted = set(self.run.folds.training(self.number))
        return [entry for case, entry in self.entries.items() if case in wanted]

    @cached_property
    def folder(self) -> Path:
        """The folder of the fold."""
        return self.run.fold(self.number)

    @property
    def how(self) -> Training:
        """How the network is trained."""
        return self.run.any_recipe.training

    def train(self) -> dict[str, Any]:
        """Fit, keep the weights, score all held-out cases."""
        how, world = self.how, self.world
        torch.manual_seed(how.seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        network = self._network()
        with ExitStack() as stack:
            self.bar = (
                stack.enter_context(progress(f"Training fold {self.number}", 100)) if world.leads else None
            )
            log = stack.enter_context((self.folder / "metrics.jsonl").open("a", encoding="utf-8"))
            trainer = self.trainer = Trainer(
                network,
                self._loss(),
                self._batches(network).starting_at,
                how,
                world,
                self.folder,
                lambda step, share, numbers: self._report(log, step, share, numbers),
                self._score(how.validate_cases),
            )
            try:
                outcome = trainer.fit()
            except BaseException:
                self._close("FAILED")
                raise
        if outcome.ending == "stopped":
            return self._stopped(outcome)
        return self._finish(trainer, outcome)

    def _stopped(self, outcome: Outcome) -> dict[str, Any]:
        self._close("KILLED")
        say(f"Stopped at step {outcome.state.step}; saved. Run the same command to go on.")
        facts = {"ending": "stopped", "best": outcome.state.best}
        return result(self.run, self.number, facts, self.failed)

    def _network(self) -> torch.nn.Module:
        return make_network(self.run.plan, self.run.recipe)

    def _loss(self) -> Loss:
        return SegmentationLoss(self.run.recipe)

    def _batches(self, network: torch.nn.Module) -> Batches:
        recipe, plan = self.run.recipe, self.run.plan
        source = PatchSource(
            self.learners,
            network.snap(plan.patch_voxels),  # type: ignore[operator]
            plan.spacing_mm,
            recipe.augmentation,
            recipe.training.foreground,
            recipe.training.seed,
            network.margin,  # type: ignore[arg-type]
            self.run.card.mirror_pairs,
            self.synthetic.entries if self.synthetic else (),
        )
        return self.stream(source)

    def stream(self, source: PatchSource) -> Batches:
        """Return the batches of this process."""
        workers = self.run.any_recipe.training.workers
        if workers is None:
            workers = 1 if self.world.device.type == "cpu" else GPU_WORKERS
        batches = Batches(source, self.run.plan.batch_size, self.world.rank, self.world.size, workers)
        return replace(batches, share=self._share) if self.synthetic else batches

    def _share(self, batch: int) -> float:
        """Return which share of a batch is synthetic: none in the last part of the budget.

        No synthetic case is seen more often than a real one, however few were admitted.
        Exact with a budget in steps. With one in time, batches are prepared a few ahead: so many come late.
        """
        choice, how = self.run.recipe.synthetic, self.run.recipe.training
        if choice is None or self.trainer.clock.progress(batch // how.accumulate) >= 1 - choice.real_only:
            return 0.0
        made = len(self.synthetic.entries) if self.synthetic else 0
        return min(choice.batch_share, made / (made + len(self.learners)))

    def _score(self, cases: int | None) -> Score | None:
        if not (chosen := self._watched(cases)):
            return None
        recipe = self.run.recipe
        return ValidationScore(chosen, self.run.plan, recipe, self.run.card.label_names, self.world.device)

    def _watched(self, cases: int | None) -> list[Entry]:
        """Return so many held-out cases, evenly drawn; all for None."""
        if cases is None or cases == 0:
            return [] if cases == 0 else self.held_out
        return self.held_out[:: max(1, -(-len(self.held_out) // cases))]

    def note(self, log: Any, step: int, share: float, numbers: dict[str, float]) -> None:
        """Write numbers of a training into its log and to the tracker."""
        if not self.world.leads:
            return
        log.write(json.dumps({"step": step, "share": round(share, 5), **_rounded(numbers)}) + "\n")
        log.flush()
        if self.tracker:
            self.tracker.metrics(step, numbers)

    def _report(self, log: Any, step: int, share: float, numbers: dict[str, float]) -> None:
        self.note(log, step, share, numbers)
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
            "learnt_from": self._learnt_from(),
        }
        if self.world.leads:
            network = self._network()
            network.load_state_dict(outcome.weights)
            if score := self._score(None):
                facts["final"] = score(network.to(self.world.device).eval())
                facts["best"] = outcome.state.best or facts["final"]["score"]
            with write_atomic(self.folder / "fold.json") as temporary:
                temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")
            weights = self._plain(network, outcome.weights)
            save_weights(self.folder / "weights.safetensors", weights, {"made_by": "medunet"})
            trainer.checkpoints.clear()
            self._track_results(network, facts)
            self._close("FINISHED")
        self.world.wait()
        return result(self.run, self.number, facts, self.failed)

    def _plain(self, network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:  # noqa: ARG002
        """Return the weights as they are kept."""
        return weights

    def _learnt_from(self) -> dict[str, Any]:
        """Return of whom and how much was learnt; names are in folds.json and synthetic.json only."""
        patients = {self.run.folds.patients[entry.case] for entry in self.learners}
        synthetic = self.synthetic.known if self.synthetic else None
        return {"cases": len(self.learners), "patients": len(patients), "synthetic": synthetic}

    def _track_results(self, network: torch.nn.Module, facts: dict[str, Any]) -> None:
        if self.tracker is None:
            return
        if facts["final"]:
            self.tracker.metrics(facts["steps"], {f"final_{k}": v for k, v in facts["final"].items()})
        for number, entry in enumerate(self.held_out[:PICTURES]):  # no case names: they may name patients
            image = np.asarray(entry.image, np.float32)
            truth = np.asarray(entry.mask)
            plan, recipe = self.run.plan, self.run.recipe
            found = predict_outputs(
                [network], torch.from_numpy(image), plan, recipe, truth.shape, self.world.device
            )
            self.tracker.picture(
                f"overlays/held_out_{number}.png", overlay(image, truth, found, plan.spacing_mm)
            )
        self.tracker.file(self.folder / "fold.json")
        self.tracker.file(self.folder / "metrics.jsonl")
        self.tracker.model(self.folder, LOADER)

    def _close(self, status: Any) -> None:
        if self.tracker:
            self.tracker.close(status)


def result(
    run: RunFolder, fold: int, facts: dict[str, Any], failed: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return what `medunet train --json` prints.

    `best`: the highest score while training, on a part of the held-out cases; `final`: that of the weights
    that are kept, on all of them.
    """
    return {"run": str(run.path), "fold": fold, **facts, "failed": {**run.origin["failed"], **(failed or {})}}


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in numbers.items()}


def _show(bar: Bar, step: int, share: float, numbers: dict[str, float]) -> None:
    if "validation_score" in numbers:
        if "validation_error" in numbers:
            say(f"step {step}: held-out denoising error {numbers['validation_error']:.4f}")
        else:
            say(f"step {step}: held-out Dice {numbers['validation_score']:.3f}")
        return
    wait = 100 * numbers.get("wait_share", 0.0)
    speed = numbers.get("steps_per_second", 0.0)
    bar.note(f"step {step}  loss {numbers['loss']:.3f}  {speed:.1f} steps/s  waiting for data {wait:.0f} %")
    bar.advance(100 * share - bar.done)
