"""What each sample of a synthetic set is: mask, attributes and noise, all from (manifest, number)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medunet import shapes
from medunet.config.attributes import Value
from medunet.config.run import RunFolder
from medunet.config.samples import Manifest
from medunet.data.cache import Entry
from medunet.data.conditions import restored
from medunet.data.content import image_part
from medunet.data.preprocess import from_outputs
from medunet.errors import ConfigError, DataError
from medunet.gate.hull import outside
from medunet.gate.record import file_sha256
from medunet.shapes.family import family_of
from medunet.shapes.repair import problems, repaired
from medunet.tasks.generate import WEIGHTS, Generator
from medunet.workflows.prepare import fill_cache, survey

MASK_FLOW = "flow"
MOST_DRAWS = 20  # of a mask by a generator of masks, until one is plausible
MOST_RETRIES = 4  # of all that is drawn for a sample, the first included: one mask must not end a set


class Drawn(NamedTuple):
    """What one sample is to be, before its image is made."""

    number: int
    mask: NDArray[np.uint8]  # (*S) network labels
    case: str  # the training case whose attributes and intensities it takes
    codes: NDArray[np.float32]  # (A,)
    attributes: dict[str, Value]
    parents: tuple[str, ...]
    facts: dict[str, Any]


@dataclass
class Maker:
    """Makes the samples of a manifest, any batch at any time."""

    generator: Generator
    workspace: Path
    manifest: Manifest

    @cached_property
    def asked(self) -> dict[str, Value]:
        """The attributes that were asked for, numbers as numbers."""
        known = {attribute.name: attribute for attribute in self.generator.learnt.attributes}
        return {name: known[name].typed(value) for name, value in self.manifest.asked.items()}

    @cached_property
    def anchors(self) -> list[Entry]:
        """The training cases whose categories are those that were asked for; all where there is none."""
        run, learnt = self.generator.run, self.generator.learnt
        learners = entries_of(run, run.folds.training(self.generator.fold), self.workspace)
        wanted = {a.name: self.asked[a.name] for a in learnt.attributes if a.values and a.name in self.asked}
        return [e for e in learners if wanted.items() <= self._said_of(e.case).items()] or learners

    def _said_of(self, case: str) -> dict[str, Value]:
        """Return the attributes that are known of a training case."""
        learnt = self.generator.learnt
        pairs = zip(learnt.attributes, learnt.codes[case], strict=True)
        return {attribute.name: value for attribute, value in pairs if value is not None}

    @cached_property
    def sources(self) -> tuple[shapes.Source, ...]:
        """The masks that new ones are made from."""
        content = self.generator.run.folds.content
        return tuple(shapes.Source(np.asarray(e.mask), image_part(content[e.case])) for e in self.anchors)

    @cached_property
    def mask_flow(self) -> Generator:
        """The generator of masks; ConfigError if it does not fit this one, or is not that of the manifest."""
        mine, known = self.generator.run, self.manifest.masks_options
        if "run" not in known:
            raise ConfigError(
                "sampling.masks: method flow needs `run`, a trained generator of masks (makes: masks)."
            )
        device = str(self.generator.device)
        found = Generator.load(mine.other(known["run"]), fold=known.get("fold"), device=device)
        theirs = found.run
        facts = [(r.plan.patch_voxels, r.plan.spacing_mm, r.plan.outputs) for r in (theirs, mine)]
        if theirs.generator.makes != "masks" or facts[0] != facts[1]:
            raise ConfigError(
                f"sampling.masks.run: {theirs.path} makes {theirs.generator.makes} with size, spacing and "
                f"outputs {facts[0]}; expected masks with {facts[1]}. Train it with the same card and size."
            )
        weights = file_sha256(theirs.fold(found.fold) / WEIGHTS)
        if weights != known.get("weights_sha256", weights):
            raise ConfigError(
                f"{theirs.path}: its weights are {weights[:12]}, masks of this set were made with "
                f"{known['weights_sha256'][:12]}. Put the generator of masks back, or give another folder."
            )
        asked = {a.name: self.manifest.asked[a.name] for a in found.learnt.attributes if a.name in self.asked}
        if wrong := outside(asked, found.learnt.attributes):
            raise ConfigError(f"--attribute, for {theirs.path}: " + "; ".join(each.words for each in wrong))
        return found

    def drawn(self, batch: int) -> list[Drawn]:
        """Return what the samples of a batch are to be."""
        size = self.manifest.batch_size
        return [self._draw(number) for number in range(batch * size, (batch + 1) * size)]

    def _draw(self, number: int) -> Drawn:
        """Return what a sample is to be, by the first of a few draws that gives a mask.

        Each follows from (seed, number, retry): a number without luck would else end its set for good.
        """
        for retry in range(MOST_RETRIES - 1):
            try:
                return self._drawn(number, retry)
            except DataError:
                continue
        return self._drawn(number, MOST_RETRIES - 1)

    def _drawn(self, number: int, retry: int) -> Drawn:
        random = np.random.default_rng((self.manifest.seed, number, *([retry] if retry else [])))
        new = self._new_mask(number, retry, random)
        content = self.generator.run.folds.content
        of_parent = {image_part(content[entry.case]): entry.case for entry in self.anchors}
        case = next((of_parent[parent] for parent in new.parents if parent in of_parent), None)
        case = case or self.anchors[int(random.integers(len(self.anchors)))].case
        said = self._said_of(case) | self.asked
        codes = [a.code(said.get(a.name)) for a in self.generator.learnt.attributes]
        facts = new.facts | ({"retry": retry} if retry else {})
        return Drawn(number, new.mask, case, np.array(codes, np.float32), said, new.parents, facts)

    def _new_mask(self, number: int, retry: int, random: np.random.Generator) -> shapes.NewMask:
        plan, manifest = self.generator.run.plan, self.manifest
        if manifest.masks == MASK_FLOW:
            return self._flowed(number, retry)
        return shapes.make(
            manifest.masks, manifest.masks_options, self.sources, plan.patch_voxels, plan.spacing_mm, random
        )

    def _flowed(self, number: int, retry: int) -> shapes.NewMask:
        plan, flow = self.generator.run.plan, self.mask_flow
        rules = family_of(self.sources, plan.patch_voxels, plan.spacing_mm).rules
        asked, attributes = self.manifest.asked, flow.learnt.attributes
        told = [a.code(a.typed(asked[a.name]) if a.name in asked else None) for a in attributes]
        codes = np.array([told], np.float32).reshape(1, len(attributes))
        wrong: list[str] = []
        for draw in range(1 + retry * MOST_DRAWS, 1 + (retry + 1) * MOST_DRAWS):
            mask = repaired(flow.masks(codes, [_seed(self.manifest.seed, number, draw)])[0], rules)
            if not (wrong := problems(mask, rules, plan.spacing_mm)):
                return shapes.NewMask(mask, (), {"draws": draw})
        raise DataError(
            f"sample {number}: the generator of masks gave {draw} implausible masks, the last for: "
            f"{wrong[0]}. Train it for longer, or choose another method."
        )

    def images(self, drawn: Sequence[Drawn]) -> NDArray[np.float32]:
        """Return the normalised images (N, C, *S) of a whole batch."""
        masks, codes = np.stack([d.mask for d in drawn]), np.stack([d.codes for d in drawn])
        seeds = [_seed(self.manifest.seed, d.number, 0) for d in drawn]
        how = self.manifest
        return self.generator.images(
            masks, codes, seeds, sampler=how.sampler, steps=how.steps, guidance=how.guidance
        )

    def in_files(
        self, one: Drawn, image: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return image and mask in the unit and the labels of the real files."""
        learnt, card = self.generator.learnt, self.generator.run.card
        return restored(image, learnt.scales[one.case], learnt), from_outputs(one.mask, card)


def entries_of(run: RunFolder, cases: Sequence[str], workspace: Path) -> list[Entry]:
    """Return cached cases of a run's data; DataError if one is not there any more as it was."""
    data = Path(run.origin["data"])
    found = survey(run.card, data, workspace / "cache")
    if changed := sorted(c for c in cases if found.content.get(c) != run.folds.content[c]):
        raise DataError(
            f"{data}: {len(changed)} cases that {run.path} knows are gone or changed, such as {changed[0]}. "
            "Put them back as they were, or train anew."
        )
    entries = fill_cache(found, run.plan, workspace / "cache")
    return [entries[case] for case in cases if case in entries]


def _seed(*parts: int) -> int:
    """Return a seed of 63 bits that follows from numbers."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1
