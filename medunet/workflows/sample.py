"""sample: synthetic cases from a trained generator, each re-made bit by bit from the set's manifest.

Everything about sample n follows from (manifest, n): its mask, its attributes, its noise and the batch it is
computed in. So a set that was cut off goes on where it stopped, and any sample can be made again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from medunet import shapes
from medunet.config.attributes import Value
from medunet.config.generator import GeneratorRecipe, Masks
from medunet.config.run import RunFolder
from medunet.config.samples import Manifest, TrainedOn
from medunet.data.cache import Entry
from medunet.data.conditions import restored
from medunet.data.content import image_part
from medunet.data.preprocess import from_outputs
from medunet.errors import ConfigError, DataError
from medunet.gate.hull import outside
from medunet.shapes.repair import problems, repaired, rules_of
from medunet.tasks.generate import WEIGHTS, Generator
from medunet.workflows.origin import versions
from medunet.workflows.prepare import fill_cache, survey
from medunet.workflows.progress import progress, say
from medunet.workflows.synthetic_set import SyntheticSet, create, hashed_patient

BATCH = {2: 32, 3: 4}
MOST_DRAWS = 20  # of a mask that `shapes` finds implausible
MASK_FLOW = "flow"


class Drawn(NamedTuple):
    """What one sample is to be, before its image is made."""

    number: int
    mask: NDArray[np.uint8]  # (*S) network labels
    case: str  # the training case whose attributes and intensities it takes
    codes: NDArray[np.float32]  # (A,)
    attributes: dict[str, Value]
    parents: tuple[str, ...]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Order:
    """What to sample, where not as the generator's recipe says."""

    count: int
    seed: int = 0
    masks: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    batch_size: int | None = None
    threads: int | None = None


def sample(
    run: RunFolder,
    out: Path,
    order: Order,
    *,
    workspace: Path,
    fold: int | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Make `order.count` cases in `out`, or go on there; return {"set", "made", "count", ...}.

    ConfigError: no such run or method, attributes outside the training hull (with the nearest valid ones), or
    `out` holds a set of other settings. DataError: the training data, whose masks are the start, are gone.
    """
    threads = order.threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    generator = Generator.load(run, fold=fold, device=device)
    if run.generator.makes != "images":
        raise ConfigError(
            f"{run.path}: makes masks; name it as `sampling.masks.run` of a generator of images."
        )
    maker = Maker(generator, workspace, _manifest(generator, order, threads))
    target = create(out, maker.manifest, run.card)
    return _fill(maker, target, order.count)


def remake(place: Path, case: str, *, workspace: Path, run: RunFolder, device: str | None = None) -> bool:
    """Make a case of a synthetic set again, in memory, and say whether every byte of both files is the same.

    DataError: no such case. Bytes are the same on a processor with the same instructions only.
    """
    target = SyntheticSet.open(place)
    manifest = target.manifest
    torch.set_num_threads(manifest.threads)
    torch.set_flush_denormal(True)
    generator = Generator.load(run, fold=manifest.fold, device=device or manifest.device)
    maker = Maker(generator, workspace, manifest)
    known = target.samples().get(case)
    if known is None:
        raise DataError(f"{place}: no case {case}; there are {len(target.samples())}, such as case 0.")
    if torch.backends.cpu.get_cpu_capability() != manifest.processor:
        say(f"The set was made with {manifest.processor} instructions: bytes may differ on this processor.")
    drawn = maker.drawn(known.number // manifest.batch_size)
    index = known.number % manifest.batch_size
    image = list(maker.images(drawn))[index]
    return target.same_bytes(case, maker.in_files(drawn[index], image), run.plan.spacing_mm)


def _fill(maker: Maker, target: SyntheticSet, count: int) -> dict[str, Any]:
    """Make what is missing, batch by batch; masks of the next batch are drawn meanwhile."""
    there = {made.number for made in target.samples().values()}
    size = maker.manifest.batch_size
    batches = [
        b for b in range(-(-count // size)) if not set(range(b * size, min(count, (b + 1) * size))) <= there
    ]
    made = 0
    with progress("Sampling", count) as bar, ThreadPoolExecutor(1) as pool:
        bar.advance(len([n for n in there if n < count]))
        ahead = [pool.submit(maker.drawn, b) for b in batches[:1]]
        for place, _ in enumerate(batches):
            drawn = ahead.pop().result()
            ahead = [pool.submit(maker.drawn, b) for b in batches[place + 1 : place + 2]]
            for one, image in zip(drawn, maker.images(drawn), strict=True):
                if one.number < count and one.number not in there:
                    target.add(
                        one.number,
                        *maker.in_files(one, image),
                        spacing_mm=maker.generator.run.plan.spacing_mm,
                        attributes=one.attributes,
                        parents=one.parents,
                        mask_facts=one.facts,
                    )
                    made += 1
                    bar.advance()
    say(f"{made} synthetic cases made, {count} lie in {target.path}. Next: medunet admit {target.path}")
    return {"set": str(target.path), "made": made, "count": count, "masks": maker.manifest.masks}


@dataclass
class Maker:
    """Makes the samples of a manifest, any batch at any time."""

    generator: Generator
    workspace: Path
    manifest: Manifest

    @cached_property
    def learners(self) -> list[Entry]:
        """The cached training cases of the generator's fold."""
        return training_entries(self.generator.run, self.generator.fold, self.workspace)

    @cached_property
    def anchors(self) -> list[Entry]:
        """The training cases whose attributes fit what was asked for; all where nothing was."""
        learnt = self.generator.learnt
        if wrong := outside(self.manifest.asked, learnt.attributes):
            raise ConfigError("; ".join(part.words for part in wrong))
        names = [a.name for a in learnt.attributes if a.values]
        kept = [
            entry
            for entry in self.learners
            if all(
                str(dict(zip((a.name for a in learnt.attributes), learnt.codes[entry.case], strict=True))[n])
                == self.manifest.asked[n]
                for n in names
                if n in self.manifest.asked
            )
        ]
        return kept or self.learners

    @cached_property
    def sources(self) -> list[shapes.Source]:
        """The masks that new ones are made from."""
        content = self.generator.run.folds.content
        return [shapes.Source(np.asarray(e.mask), image_part(content[e.case])) for e in self.anchors]

    @cached_property
    def mask_flow(self) -> Generator | None:
        """The generator of masks, if there is one."""
        run = self.manifest.masks_options.get("run")
        return Generator.load(RunFolder.open(Path(run)), device=str(self.generator.device)) if run else None

    def drawn(self, batch: int) -> list[Drawn]:
        """Return what the samples of a batch are to be."""
        size = self.manifest.batch_size
        return [self._draw(number) for number in range(batch * size, (batch + 1) * size)]

    def _draw(self, number: int) -> Drawn:
        random = np.random.default_rng((self.manifest.seed, number))
        if self.mask_flow is not None:
            new = self._flowed(number)
        else:
            options = {k: v for k, v in self.manifest.masks_options.items() if k != "run"}
            plan = self.generator.run.plan
            new = shapes.make(
                self.manifest.masks, options, self.sources, plan.patch_voxels, plan.spacing_mm, random
            )
        learnt = self.generator.learnt
        content = {image_part(self.generator.run.folds.content[e.case]): e.case for e in self.anchors}
        case = next((content[p] for p in new.parents if p in content), None)
        case = case or self.anchors[int(random.integers(len(self.anchors)))].case
        known = (
            dict(zip((a.name for a in learnt.attributes), learnt.codes[case], strict=True))
            | self.manifest.asked
        )
        codes = np.array([a.code(_typed(known[a.name], a.values)) for a in learnt.attributes], np.float32)
        said = {name: value for name, value in known.items() if value is not None}
        return Drawn(number, new.mask, case, codes, said, new.parents, new.facts)

    def _flowed(self, number: int) -> shapes.NewMask:
        flow = self.mask_flow
        if flow is None:
            raise ConfigError("masks: flow needs a generator of masks.")
        codes = np.full((1, len(flow.learnt.attributes)), np.nan, np.float32)
        plan = self.generator.run.plan
        rules = rules_of([s.mask for s in self.sources], plan.spacing_mm)
        for draw in range(MOST_DRAWS):
            seed = _seed(self.manifest.seed, number, draw + 1)
            mask = repaired(flow.masks(codes, [seed])[0], rules)
            if not (wrong := problems(mask, rules, plan.spacing_mm)):
                return shapes.NewMask(mask, (), {"draws": draw + 1})
        raise ConfigError(f"sample {number}: the generator of masks gives implausible masks: {wrong[0]}")

    def images(self, drawn: Sequence[Drawn]) -> Iterator[NDArray[np.float32]]:
        """Yield the normalised images (C, *S) of a whole batch."""
        masks, codes = np.stack([d.mask for d in drawn]), np.stack([d.codes for d in drawn])
        seeds = [_seed(self.manifest.seed, d.number, 0) for d in drawn]
        how = self.manifest
        yield from self.generator.images(
            masks, codes, seeds, sampler=how.sampler, steps=how.steps, guidance=how.guidance
        )

    def in_files(
        self, one: Drawn, image: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return image and mask in the unit and the labels of the real files."""
        learnt = self.generator.learnt
        return restored(image, learnt.scales[one.case], learnt), from_outputs(
            one.mask, self.generator.run.card
        )


def training_entries(run: RunFolder, fold: int, workspace: Path) -> list[Entry]:
    """Return the cached training cases of a fold; DataError if the data are not where they were."""
    data = Path(run.origin["data"])
    found = survey(run.card, data, workspace / "cache")
    entries = fill_cache(found, run.plan, workspace / "cache")
    return [entries[case] for case in run.folds.training(fold) if case in entries]


def _manifest(generator: Generator, order: Order, threads: int) -> Manifest:
    run, recipe, how = generator.run, generator.run.generator, generator.run.generator.sampling
    masks = how.masks if order.masks is None else Masks(method=order.masks, run=how.masks.run)
    weights = (run.fold(generator.fold) / WEIGHTS).read_bytes()
    salt = hashlib.sha256(f"{run.path.name}|{order.seed}".encode()).hexdigest()[:16]
    return Manifest(
        generator=str(run.path.resolve()),
        generator_name=run.path.name,
        fold=generator.fold,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        trained_on=tuple(trained_on(run, generator.fold, salt)),
        salt=salt,
        masks=masks.method,
        masks_options=masks.options | ({"run": masks.run} if masks.run and masks.method == MASK_FLOW else {}),
        asked=dict(order.attributes),
        sampler=order.sampler or how.sampler,
        steps=order.steps or how.steps,
        guidance=how.guidance if order.guidance is None else order.guidance,
        batch_size=order.batch_size or how.batch_size or BATCH[run.plan.dims],
        seed=order.seed,
        precision=recipe.training.precision,
        device=str(generator.device),
        threads=threads,
        processor=torch.backends.cpu.get_cpu_capability(),
        versions=versions(),
    )


def trained_on(run: RunFolder, fold: int, salt: str) -> Iterator[TrainedOn]:
    """Yield every case that a generator has learnt from, also through one that it was tuned from."""
    for case in run.folds.training(fold):
        patient = hashed_patient(salt, run.folds.patients[case])
        yield TrainedOn(patient=patient, image=image_part(run.folds.content[case]))
    recipe: GeneratorRecipe = run.generator
    for other in (recipe.lora.run if recipe.lora else None, recipe.sampling.masks.run):
        if other:
            base = RunFolder.open(Path(other))
            yield from trained_on(base, base.trained[0], salt)


def _seed(*parts: int) -> int:
    """Return a seed of 63 bits that follows from numbers."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def _typed(value: Value | None, values: Sequence[str]) -> Value | None:
    return value if values or value is None else float(value)


__all__ = ["Maker", "Order", "sample", "training_entries"]
