"""One fold of a generator: as a fold of a segmenter, with a denoiser, what is known of cases, and a sheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor, nn

from medunet.config.attributes import Attribute, Value
from medunet.config.budget import part_of
from medunet.config.generator import AutoencoderChoice, GeneratorRecipe, Learnt
from medunet.config.recipe import Training
from medunet.data.cache import Entry
from medunet.data.conditioned import ConditionedSource
from medunet.data.conditions import codes_of, known_of_all, learn, words_of
from medunet.data.sampling import Batches
from medunet.data.table import Known
from medunet.engine.checkpoint import load_weights
from medunet.engine.loop import Loss, Score
from medunet.errors import ConfigError
from medunet.io.write import write_atomic
from medunet.models.lora import add_lora, merge_lora
from medunet.tasks.generate import Generator
from medunet.tasks.grain import Grain
from medunet.tasks.space import Space, autoencoder_choice, space_of
from medunet.tasks.synthesize import (
    LEARNT,
    DenoisingError,
    DenoisingLoss,
    make_denoiser,
    middle,
    read_learnt,
)
from medunet.workflows.autoencoder_stage import AUTOENCODER, train_autoencoder
from medunet.workflows.fold import Fold
from medunet.workflows.generator_report import twin_sheet
from medunet.workflows.learnt_cases import check_base
from medunet.workflows.prepare import Survey
from medunet.workflows.progress import say
from medunet.workflows.twins import make_twins
from medunet.workflows.unlabelled import Unlabelled, unlabelled_scans

GRAIN_CASES = 256  # training cases whose grain is measured, at most
SHEET_CASES = 8  # held-out cases whose masks are given a synthetic image beside the real one


@dataclass
class GeneratorFold(Fold):
    """The training of one fold of a generator."""

    found: Survey
    grain: Grain | None = None  # of the training scans, once the network is trained

    @cached_property
    def _stage(self) -> AutoencoderChoice | None:
        """The autoencoder that is trained first; None: there is none, or that of a base is kept."""
        return None if self._base else autoencoder_choice(self.run.generator)

    @property
    def how(self) -> Training:
        """What the autoencoder leaves of the budget."""
        how = self.run.generator.training
        if self._stage is None:
            return how
        return how.model_copy(update={"budget": part_of(how.budget, 1 - self._stage.share)})

    def train(self) -> dict[str, Any]:
        """Train the autoencoder, if there is one, and then the denoiser."""
        if self._stage is not None:
            try:
                outcome = train_autoencoder(self, self._stage)
            except BaseException:
                self._close("FAILED")
                raise
            if outcome is not None and outcome.ending == "stopped":
                return self._stopped(outcome)
        return super().train()

    @cached_property
    def space(self) -> Space:
        """Where the denoiser learns."""
        place = self.folder / AUTOENCODER
        if self._base is not None:
            found = self._base.space
        else:
            weights = load_weights(place) if self._stage is not None else {}
            found = space_of(self.run.generator, self.run.plan, weights, place)
        if found.autoencoder is not None:
            found.autoencoder.to(self.world.device)
        return found

    @cached_property
    def unlabelled(self) -> Unlabelled:
        """The scans that are learnt from without their mask."""
        cache = self.run.path.parents[1] / "cache"
        if not self.world.leads:
            self.world.wait()
        found = unlabelled_scans(self.run, self.number, self.found, cache)
        if (self.folder / LEARNT).is_file():  # a training goes on with what it was begun with
            found = found.only(read_learnt(self.folder).unlabelled)
        if self.world.leads:
            self.world.wait()
        return found

    @property
    def entries_learnt_from(self) -> list[Entry]:
        """All scans that are learnt from."""
        return [*self.learners, *self.unlabelled.entries]

    @cached_property
    def learnt(self) -> Learnt:
        """What is kept of the training cases, made once; held-out cases have no part in it."""
        place, _ = self.folder / LEARNT, self.unlabelled  # which waits: every process must pass it before
        if self.world.leads and not place.is_file():
            with write_atomic(place) as temporary:
                temporary.write_text(self._learn().model_dump_json(), encoding="utf-8")
        self.world.wait()
        return read_learnt(self.folder)

    def _learn(self) -> Learnt:
        found, how = self.found, self.run.generator.conditioning
        prints = {entry.case: found.fingerprints[entry.case] for entry in self.learners}
        cases = found.cases | self.unlabelled.cases
        about = self.entries_learnt_from, cases, prints, found.card
        known = learn(*about, self.run.plan, found.data, how.largest_weight)
        known = known.model_copy(update={"unlabelled": self.unlabelled.scans})
        if self._base is not None:
            facts = known_of_all(*about, found.data)
            known = known.model_copy(update=_as_base_knows(facts, self._base.learnt))
        for words in words_of(known, cases, found.card, found.data):
            say(words)
        return known

    @cached_property
    def _base(self) -> Generator | None:
        lora = self.run.generator.lora
        if lora is None:
            return None
        base = self.run.other(lora.run)
        check_base(self.run, self.number, base)
        return Generator.load(base, device="cpu")

    def _network(self) -> nn.Module:
        recipe = self.run.generator
        network = make_denoiser(recipe, self.run.plan, self.learnt.attributes)
        if self._base is not None and recipe.lora is not None:
            start_from(network, self._base, recipe)
            add_lora(network, recipe.lora.rank, alpha=recipe.lora.rank)
        return network

    def _loss(self) -> Loss:
        recipe = self.run.generator
        if recipe.makes == "masks":
            return DenoisingLoss(recipe, labels=0)
        return DenoisingLoss(recipe, self.run.plan.outputs - 1, self.learnt.label_weights, self.space)

    def _batches(self, network: nn.Module) -> Batches:  # noqa: ARG002  a denoiser takes the plan's size
        return self.stream(self.source(self.run.plan.patch_voxels))

    def source(self, patch_voxels: tuple[int, ...]) -> ConditionedSource:
        """Return the training patches of a size."""
        recipe, plan = self.run.generator, self.run.plan
        bare = self.unlabelled.entries
        # At least every second patch has a mask: else so few that the network learns to look away from it.
        entries = [*self.learners * max(1, -(-len(bare) // len(self.learners))), *bare]
        return ConditionedSource(
            entries,
            patch_voxels,
            plan.spacing_mm,
            recipe.augmentation,
            recipe.training.foreground,
            recipe.training.seed,
            (),
            self.run.card.mirror_pairs,
            codes=codes_of(self.learnt, [entry.case for entry in entries]),
            distances_of=plan.outputs - 1 if recipe.makes == "masks" else 0,
        )

    def _score(self, cases: int | None) -> Score | None:
        chosen = self._watched(cases)
        return self.error_of(chosen) if chosen else None

    def error_of(self, entries: list[Entry]) -> DenoisingError:
        """Return the error to be measured on these cases, whose attributes are taken as unknown."""
        codes = np.full((len(entries), len(self.learnt.attributes)), np.nan, np.float32)
        return DenoisingError(
            entries, codes, self.run.generator, self.run.plan, self.world.device, self.space
        )

    def _plain(self, network: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.run.generator.lora is not None:
            merge_lora(network)
            weights = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.grain = self._grain(network)
        return weights | self.space.state() | ({} if self.grain is None else self.grain.state())

    def _grain(self, network: nn.Module) -> Grain | None:
        """Return what the fine detail of training scans is like."""
        recipe, plan = self.run.generator, self.run.plan
        if recipe.makes == "masks" or not recipe.sampling.grain:
            return None
        chosen = self.learners[:: -(-len(self.learners) // GRAIN_CASES)]
        images, masks = zip(*(middle(entry, plan.patch_voxels) for entry in chosen), strict=True)
        return Grain.measured(
            [image[0].numpy() for image in images],
            [mask[0].numpy().astype(np.uint8) for mask in masks],
            codes_of(self.learnt, [entry.case for entry in chosen]),
            plan.outputs,
            patch=getattr(network, "patch", 1) if self.space.autoencoder is None else 1,
        )

    def _generator(self, network: nn.Module) -> Generator:
        device = self.world.device
        network = network.to(device).eval()
        return Generator(self.run, self.number, network, self.learnt, device, self.space, self.grain)

    def _learnt_from(self) -> dict[str, Any]:
        bare = len(self.learnt.unlabelled)
        return super()._learnt_from() | ({"unlabelled": bare} if bare else {})

    def _track_results(self, network: nn.Module, facts: dict[str, Any]) -> None:
        if self.tracker is None:
            return
        if facts["final"]:
            self.tracker.metrics(facts["steps"], {f"final_{k}": v for k, v in facts["final"].items()})
        if self.run.generator.makes == "images" and self.held_out:
            twins = make_twins(self._generator(network), self.held_out[:SHEET_CASES])
            self.tracker.picture(
                "samples/held_out.png", twin_sheet(twins, range(len(twins.cases)), self.run.plan.spacing_mm)
            )
        self.tracker.file(self.folder / "fold.json")
        self.tracker.file(self.folder / "metrics.jsonl")


def start_from(network: nn.Module, base: Generator, recipe: GeneratorRecipe) -> None:
    """Take over the weights of a generator that is to be tuned; ConfigError if they do not fit.

    Neither do they where the base has learnt to tell something else: the same network, other answers.
    """
    for name in ("makes", "objective"):
        known, wanted = getattr(base.run.generator, name), getattr(recipe, name)
        if known != wanted:
            raise ConfigError(
                f"lora.run: {base.run.path} was trained with {name} {known}, this recipe says {wanted}. Give "
                f"the recipe the {name} of its base."
            )
    try:
        network.load_state_dict(base.network.state_dict())
    except RuntimeError as error:
        raise ConfigError(
            f"lora.run: the network of {base.run.path} does not fit: {error}. Use its preset, network, "
            "channels and labels."
        ) from None


def _as_base_knows(facts: Mapping[str, Known], base: Learnt) -> dict[str, Any]:
    """Return attributes and codes in the words of the generator that is tuned: its tokens stay.

    Also of what is the same in all new cases, such as their scanner: to the base it is one among others.
    """
    codes = {
        case: tuple(_in_words_of(attribute, said.get(attribute.name)) for attribute in base.attributes)
        for case, said in facts.items()
    }
    return {"attributes": base.attributes, "codes": codes}


def _in_words_of(attribute: Attribute, value: Value | None) -> Value | None:
    """Return a value if it is of the attribute's kind: what is a number here may be a category there."""
    return value if isinstance(value, str if attribute.values else float) else None
