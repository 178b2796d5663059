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
from medunet.shapes.family import family_of
from medunet.shapes.repair import problems, repaired
from medunet.tasks.generate import Generator
from medunet.workflows.prepare import fill_cache, survey

MASK_FLOW = "flow"
MOST_DRAWS = 20  # of a mask by a generator of masks, until one is plausible


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
        """The generator of masks; ConfigError if it does not fit this one."""
        mine = self.generator.run
        name = self.manifest.masks_options.get("run")
        if name is None:
            raise ConfigError(
                "sampling.masks: method flow needs `run`, a trained generator of masks (makes: masks)."
            )
        found = Generator.load(mine.other(name), device=str(self.generator.device))
        theirs = found.run
        facts = [(r.plan.patch_voxels, r.plan.spacing_mm, r.plan.outputs) for r in (theirs, mine)]
        if theirs.generator.makes != "masks" or facts[0] != facts[1]:
            raise ConfigError(
                f"sampling.masks.run: {theirs.path} makes {theirs.generator.makes} with size, spacing and "
                f"outputs {facts[0]}; expected masks with {facts[1]}. Train it with the same card and size."
            )
        return found

    def drawn(self, batch: int) -> list[Drawn]:
        """Return what the samples of a batch are to be."""
        size = self.manifest.batch_size
        return [self._draw(number) for number in range(batch * size, (batch + 1) * size)]

    def _draw(self, number: int) -> Drawn:
        random = np.random.default_rng((self.manifest.seed, number))
        new = self._new_mask(number, random)
        content = self.generator.run.folds.content
        of_parent = {image_part(content[entry.case]): entry.case for entry in self.anchors}
        case = next((of_parent[parent] for parent in new.parents if parent in of_parent), None)
        case = case or self.anchors[int(random.integers(len(self.anchors)))].case
        said = self._said_of(case) | self.asked
        codes = [a.code(said.get(a.name)) for a in self.generator.learnt.attributes]
        return Drawn(number, new.mask, case, np.array(codes, np.float32), said, new.parents, new.facts)

    def _new_mask(self, number: int, random: np.random.Generator) -> shapes.NewMask:
        plan, manifest = self.generator.run.plan, self.manifest
        if manifest.masks == MASK_FLOW:
            return self._flowed(number)
        return shapes.make(
            manifest.masks, manifest.masks_options, self.sources, plan.patch_voxels, plan.spacing_mm, random
        )

    def _flowed(self, number: int) -> shapes.NewMask:
        plan, flow = self.generator.run.plan, self.mask_flow
        rules = family_of(self.sources, plan.patch_voxels, plan.spacing_mm).rules
        codes = np.full((1, len(flow.learnt.attributes)), np.nan, np.float32)
        wrong: list[str] = []
        for draw in range(1, MOST_DRAWS + 1):
            mask = repaired(flow.masks(codes, [_seed(self.manifest.seed, number, draw)])[0], rules)
            if not (wrong := problems(mask, rules, plan.spacing_mm)):
                return shapes.NewMask(mask, (), {"draws": draw})
        raise DataError(
            f"sample {number}: the generator of masks gave {MOST_DRAWS} implausible masks, the last for: "
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
