"""The sets of a dose-response, made as they are asked for: train a generator, sample, admit."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from medunet.config.gate import GateSettings
from medunet.config.generator import GeneratorRecipe
from medunet.config.run import RunFolder
from medunet.errors import ConfigError
from medunet.workflows.admit import admit
from medunet.workflows.dose_grid import GATED, PROCEDURAL, SetOrder
from medunet.workflows.sample import Order, sample
from medunet.workflows.train import train

SPARE = 2.0  # samples per admitted one: the gate refuses some
PROCEDURAL_MASKS = "gray_scott"


@dataclass(frozen=True)
class SetMaker:
    """Makes a set that a study asks for, in WORKSPACE/synthetic; what is there already is used again."""

    recipe: GeneratorRecipe

    def __call__(self, order: SetOrder) -> Path:
        """Return the admitted set; a generator knows the same patients as the training that asks for it."""
        generator = self._generator(order)
        place = self._sampled(order, generator)
        if order.arm == GATED:
            admit(place, workspace=order.workspace, segmenter=RunFolder.open(order.control))
        else:
            admit(place, workspace=order.workspace, settings=GateSettings(checks=()))
        return place

    def _generator(self, order: SetOrder) -> RunFolder:
        """Train the generator of these patients; finished at once where it is trained already."""
        asked = order.recipe.training
        how = self.recipe.training.model_copy(
            update={"split_seed": asked.split_seed, "patients": order.patients, "seed": asked.seed}
        )
        recipe = self.recipe.model_copy(update={"training": how, "folds": order.recipe.folds})
        result = train(recipe, card=order.card, data=order.data, fold=order.fold, workspace=order.workspace)
        if result["ending"] == "stopped":
            raise ConfigError(f"{result['run']}: the generator's training was stopped. Run the study again.")
        return RunFolder.open(Path(result["run"]))

    def _sampled(self, order: SetOrder, generator: RunFolder) -> Path:
        """Sample twice what is needed; the arms with the same masks share their samples."""
        learners = len(generator.folds.training(order.fold))
        wanted = Order(
            count=round(SPARE * order.ratio * learners),
            masks=PROCEDURAL_MASKS if order.arm == PROCEDURAL else None,
        )
        masks = PROCEDURAL if order.arm == PROCEDURAL else "generated"
        home = order.workspace / "synthetic"
        place, shared = home / order.name, home / f"{order.name.removesuffix(order.arm)}{masks}-sampled"
        if not place.is_dir():
            sample(generator, shared, wanted, workspace=order.workspace, fold=order.fold)
            copy = place.with_name(f".{place.name}")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(shared, copy)
            copy.rename(place)
        return place
