"""The sets of a dose-response, made as they are asked for: train a generator, sample, admit."""

from __future__ import annotations

import hashlib
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

SPARE = (2, 4)  # samples for each that is wanted, and again where the gate has refused too many
PROCEDURAL_MASKS = "gray_scott"


@dataclass(frozen=True)
class SetMaker:
    """Makes a set that a study asks for, in WORKSPACE/synthetic; what is there already is used again."""

    recipe: GeneratorRecipe

    @property
    def key(self) -> str:
        """What the sets depend on besides the orders."""
        return hashlib.sha256(self.recipe.model_dump_json().encode()).hexdigest()

    def __call__(self, order: SetOrder) -> Path:
        """Return the admitted set; a generator knows the same patients as the training that asks for it."""
        generator = self._generator(order)
        wanted = round(order.ratio * len(generator.folds.training(order.fold)))
        for times in SPARE:
            place = self._sampled(order, generator, times * wanted)
            if order.arm == GATED:
                segmenter = RunFolder.open(order.control)
                found = admit(place, workspace=order.workspace, segmenter=segmenter)
            else:
                found = admit(place, workspace=order.workspace, settings=GateSettings(checks=()))
            if found["admitted"] >= wanted:
                break
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

    def _sampled(self, order: SetOrder, generator: RunFolder, count: int) -> Path:
        """Sample so many at least; the arms with the same masks share their samples."""
        procedural = order.arm == PROCEDURAL
        home = order.workspace / "synthetic"
        place = home / f"{generator.path.name}-{order.arm}"
        shared = home / f"{generator.path.name}-{PROCEDURAL if procedural else 'generated'}-sampled"
        wanted = Order(count=count, masks=PROCEDURAL_MASKS if procedural else None)
        sample(generator, shared, wanted, workspace=order.workspace, fold=order.fold)
        if not place.is_dir() or _lines(place) < _lines(shared):
            copy = place.with_name(f".{place.name}")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(shared, copy)
            shutil.rmtree(place, ignore_errors=True)
            copy.rename(place)
        return place


def _lines(place: Path) -> int:
    return len((place / "samples.jsonl").read_text(encoding="utf-8").splitlines())
