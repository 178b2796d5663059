"""sample: synthetic cases from a trained generator, each re-made bit by bit from the set's manifest.

Everything about sample n follows from (manifest, n): its mask, its attributes, its noise and the batch it is
computed in. So a set that was cut off goes on where it stopped, and any sample can be made again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from medunet.config.generator import Masks
from medunet.config.run import RunFolder
from medunet.config.samples import Manifest, TrainedOn
from medunet.errors import ConfigError, DataError
from medunet.gate.hull import outside
from medunet.gate.record import file_sha256
from medunet.tasks.generate import BATCH, WEIGHTS, Generator
from medunet.tasks.synthesize import make_objective
from medunet.workflows.check_generator import check_masks, try_sampler
from medunet.workflows.learnt_cases import learnt_from
from medunet.workflows.make_samples import MASK_FLOW, Maker
from medunet.workflows.origin import versions
from medunet.workflows.progress import progress, say
from medunet.workflows.records import check_not_retired, mlflow_run_of
from medunet.workflows.synthetic_set import MANIFEST, SyntheticSet, create, hashed_patient


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

    ConfigError: no such run or method, a patient of the generator's has left, attributes outside the training
    hull (with the nearest valid ones), or `out` holds a set of other settings. DataError: the training data,
    whose masks are the start, are gone.
    """
    there = SyntheticSet.open(out).manifest if (out / MANIFEST).is_file() else None
    threads = order.threads or (there.threads if there else _cores())  # sums depend on their number
    _settle(threads)
    generator = Generator.load(run, fold=fold, device=device)
    check_not_retired(run.fold(generator.fold))
    if run.generator.makes != "images":
        raise ConfigError(
            f"{run.path}: makes masks; name it as `sampling.masks.run` of a generator of images."
        )
    if wrong := outside(order.attributes, generator.learnt.attributes):
        raise ConfigError("--attribute: " + "; ".join(each.words for each in wrong))
    maker = Maker(generator, workspace, _manifest(generator, order, threads))
    if there is None:  # before anything is written: what cannot be made leaves no folder
        try_sampler(maker.manifest.sampler, maker.manifest.steps, make_objective(run.generator))
        maker.drawn(0)
    return _fill(maker, create(out, maker.manifest, run.card), order.count)


def remake(place: Path, case: str, *, workspace: Path, run: RunFolder, device: str | None = None) -> bool:
    """Make a case again, in memory, and say whether it and both files are what the set says, byte by byte.

    ConfigError: the run is not the set's generator. DataError: no such case. Bytes are the same on a
    processor with the same instructions only.
    """
    target = SyntheticSet.open(place)
    manifest, known = target.manifest, target.samples().get(case)
    if known is None:
        raise DataError(f"{place}: no case {case}; there are {len(target.samples())}.")
    _settle(manifest.threads)
    generator = Generator.load(run, fold=manifest.fold, device=device or manifest.device)
    if (found := weights_sha256(generator)) != manifest.weights_sha256:
        raise ConfigError(
            f"{run.path}: is not the generator of {place}: its weights are {found[:12]}, expected "
            f"{manifest.weights_sha256[:12]}. Name {manifest.generator}."
        )
    if differ := _differing(manifest.versions, versions()):
        say(f"Other versions than the set was made with, so bytes may differ: {differ}.")
    if torch.backends.cpu.get_cpu_capability() != manifest.processor:
        say(f"The set was made with {manifest.processor} instructions: bytes may differ on this processor.")
    maker = Maker(generator, workspace, manifest)
    batch, index = divmod(known.number, manifest.batch_size)
    drawn = maker.drawn(batch)
    again = maker.in_files(drawn[index], maker.images(drawn)[index])
    return target.same_bytes(case) and target.same_bytes(case, again, run.plan.spacing_mm)


def _cores() -> int:
    """Return the cores that this process may use: in a container or a job, fewer than the machine has."""
    able = getattr(os, "sched_getaffinity", None)
    return len(able(0)) if able else os.cpu_count() or 1


def _differing(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    names = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    return ", ".join(f"{name} {then.get(name, 'none')}, here {now.get(name, 'none')}" for name in names)


def _settle(threads: int) -> None:
    """Compute as the manifest says: sums depend on the number of threads, and tiny numbers cost time."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)


def _fill(maker: Maker, target: SyntheticSet, count: int) -> dict[str, Any]:
    """Make what is missing, batch by batch; masks of the next batch are drawn meanwhile."""
    there = {made.number for made in target.samples().values()}
    missing = [number for number in range(count) if number not in there]
    batches = sorted({number // maker.manifest.batch_size for number in missing})

    with progress("Sampling", count) as bar, ThreadPoolExecutor(1) as pool:
        bar.advance(count - len(missing))
        ahead = [pool.submit(maker.drawn, batch) for batch in batches[:1]]
        for place in range(len(batches)):
            now = ahead.pop().result()
            ahead = [pool.submit(maker.drawn, batch) for batch in batches[place + 1 : place + 2]]
            for one, image in zip(now, maker.images(now), strict=True):
                if one.number < count and one.number not in there:
                    target.add(
                        one.number,
                        *maker.in_files(one, image),
                        spacing_mm=maker.generator.run.plan.spacing_mm,
                        attributes=one.attributes,
                        parents=one.parents,
                        mask_facts=one.facts,
                    )
                    bar.advance()
    say(f"{len(missing)} synthetic cases made; {target.path} holds {len(target.samples())}.")
    say(f"Next: medunet admit {target.path}")
    return {
        "set": str(target.path),
        "made": len(missing),
        "count": len(target.samples()),
        "masks": maker.manifest.masks,
    }


def _manifest(generator: Generator, order: Order, threads: int) -> Manifest:
    run, recipe, how = generator.run, generator.run.generator, generator.run.generator.sampling
    same = order.masks in (None, how.masks.method)
    masks = how.masks if same else Masks(method=str(order.masks), run=how.masks.run)
    check_masks(masks)
    flow = _flow(run, str(masks.run)) if masks.method == MASK_FLOW else None
    guidance = how.guidance if order.guidance is None else order.guidance
    if guidance != 1 and not generator.learnt.attributes:
        say(f"Guidance {guidance:g} counts as 1: the generator knows no attributes that it could exaggerate.")
    salt = hashlib.sha256(f"{run.path.name}|{order.seed}".encode()).hexdigest()[:16]
    return Manifest(
        generator=str(run.path.resolve()),
        generator_name=run.path.name,
        fold=generator.fold,
        weights_sha256=weights_sha256(generator),
        mlflow_run=mlflow_run_of(run.fold(generator.fold)),
        trained_on=tuple(dict.fromkeys(_trained_on(run, generator.fold, flow, salt))),
        salt=salt,
        masks=masks.method,
        masks_options=flow or masks.options,
        asked=dict(order.attributes),
        sampler=order.sampler or how.sampler,
        steps=order.steps or how.steps,
        guidance=guidance,
        batch_size=order.batch_size or how.batch_size or BATCH[run.plan.dims],
        seed=order.seed,
        precision=recipe.training.precision,
        device=str(generator.device),
        threads=threads,
        processor=torch.backends.cpu.get_cpu_capability(),
        versions=versions(),
    )


def weights_sha256(generator: Generator) -> str:
    """Return the hash of a generator's weights."""
    return file_sha256(generator.run.fold(generator.fold) / WEIGHTS)


def _flow(run: RunFolder, name: str) -> dict[str, Any]:
    """Return which generator of masks a set is made with, so that no other one goes on with it."""
    masks = run.other(name)
    fold = masks.one_trained()
    return {"run": name, "fold": fold, "weights_sha256": file_sha256(masks.fold(fold) / WEIGHTS)}


def _trained_on(run: RunFolder, fold: int, flow: Mapping[str, Any] | None, salt: str) -> Iterator[TrainedOn]:
    """Yield every case that went into a set: of its generator, and of the generator of its masks."""
    known = list(learnt_from(run, fold))
    if flow is not None:
        masks = run.other(flow["run"])
        check_not_retired(masks.fold(flow["fold"]))
        known += learnt_from(masks, flow["fold"])
    for one in known:
        patient = hashed_patient(salt, one.patient)
        yield TrainedOn(patient=patient, image=one.image, labelled=one.labelled)


__all__ = ["Maker", "Order", "remake", "sample"]
