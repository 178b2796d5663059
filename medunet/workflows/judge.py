"""evaluate, for a generator: do its scans obey their masks, and do they look like real ones?

Masks are those of held-out cases, so every synthetic scan has a real twin that the generator has never seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medunet.config.run import RunFolder
from medunet.data.content import image_part
from medunet.errors import ConfigError
from medunet.io.write import write_atomic
from medunet.metrics.measures import dice
from medunet.metrics.pair import pairs
from medunet.metrics.quality.adherence import adherence
from medunet.metrics.quality.encoder import pooled_features
from medunet.metrics.quality.halves import FEWEST
from medunet.metrics.quality.report import ImageSet, quality
from medunet.tasks.generate import Generator
from medunet.tasks.segment import Segmenter, predict_outputs
from medunet.workflows.generator_report import write_generator_report
from medunet.workflows.make_samples import entries_of
from medunet.workflows.origin import versions
from medunet.workflows.progress import progress, say
from medunet.workflows.twins import make_twins

Images = NDArray[np.float32]
MaskArray = NDArray[np.uint8]


def judge(
    run: RunFolder,
    *,
    workspace: Path,
    fold: int | None = None,
    segmenter: RunFolder | None = None,
    out: Path | None = None,
    device: str | None = None,
    **how: Any,
) -> dict[str, Any]:
    """Return how well a generator does on held-out masks; tables and sheets go to RUN/fold_K/evaluation.

    segmenter: a run that was trained on none of the held-out cases; it says how far scans obey their masks,
    beside how well it does on the real scans (the ceiling). how: sampler, steps, guidance.
    """
    generator = Generator.load(run, fold=fold, device=device)
    if run.generator.makes != "images":
        raise ConfigError(f"{run.path}: makes masks; only generators of images are evaluated.")
    known = None if segmenter is None else _never_seen(segmenter, run, generator.fold, device)
    entries = entries_of(run, run.folds.validation[generator.fold], workspace)
    twins = make_twins(generator, entries, **how)
    sampling = run.generator.sampling
    result: dict[str, Any] = {
        "run": str(run.path), "fold": generator.fold, "cases": len(twins.cases),
        "cpu_seconds_each": round(twins.cpu_seconds, 4),
        "sampling": {
            "sampler": sampling.sampler, "steps": sampling.steps, "guidance": sampling.guidance, **how
        },
        "versions": versions(),
    }  # fmt: skip
    real = ImageSet(list(twins.real), list(twins.masks), patients=twins.patients)
    synthetic = ImageSet(list(twins.synthetic), list(twins.masks))
    if known is not None:
        real, synthetic = _seen_by(known, real, generator), _seen_by(known, synthetic, generator)
    result |= _compared(real, synthetic, run)
    folder = out or run.fold(generator.fold) / "evaluation"
    with write_atomic(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1, default=str) + "\n", encoding="utf-8")
    write_generator_report(folder / "report.html", result, twins, run.plan.spacing_mm, run.card)
    _tell(result, folder)
    return {**result, "out": str(folder), "failed": {}}


def _never_seen(segmenter: RunFolder, run: RunFolder, fold: int, device: str | None = None) -> Segmenter:
    """Return a segmenter that knows none of the held-out cases; ConfigError if there is none."""
    if segmenter.card.labels != run.card.labels or segmenter.card.channels != run.card.channels:
        raise ConfigError(
            f"{segmenter.path}: finds other labels, or in other channels, than {run.path} makes. Name a "
            f"segmenter that was trained with the card {run.card.name}."
        )
    seen = [r.plan.model_dump(include={"spacing_mm", "normalisation"}) for r in (segmenter, run)]
    if seen[0] != seen[1]:
        raise ConfigError(
            f"{segmenter.path}: sees {seen[0]}, {run.path} makes {seen[1]}. Train a segmenter with the same "
            "`planning`."
        )
    held_out = _known(run, run.folds.validation[fold], run.card.name)
    for own in segmenter.trained:
        if not held_out & _known(segmenter, segmenter.folds.training(own), run.card.name):
            return Segmenter.load(segmenter, folds=[own], backend="torch", device=device)
    raise ConfigError(
        f"{segmenter.path}: was trained on held-out cases of {run.path}, fold {fold}. Name a segmenter "
        f"that was trained on the same fold, such as: medunet train ... --fold {fold}"
    )


def _known(run: RunFolder, cases: Sequence[str], card: str) -> set[str]:
    """Return the images of cases and, where the run's data are of this card, their patients."""
    images = {image_part(run.folds.content[case]) for case in cases}
    same = run.card.name == card
    return images | {f"patient {run.folds.patients[case]}" for case in cases if same}


def _seen_by(segmenter: Segmenter, scans: ImageSet, generator: Generator) -> ImageSet:
    """Return a set with what a segmenter makes of it: Dice against the masks, and features of its encoder."""
    names = generator.run.card.label_names
    with progress("Segmenting", len(scans.images)) as bar:
        rows = []
        for image, mask in zip(scans.images, scans.masks, strict=True):
            rows.append(_dice(image, mask, segmenter, generator))
            bar.advance()
    dice_of = {name: [row[index] for row in rows] for index, name in enumerate(names)}
    features = pooled_features(segmenter.networks[0], [_padded(i, segmenter) for i in scans.images])
    return replace(scans, features=features, dice=dice_of)


def _padded(image: Images, segmenter: Segmenter) -> Images:
    """Return an image (C, *S) in a size that the segmenter's network takes as it is."""
    wanted = segmenter.networks[0].snap(image.shape[1:])  # type: ignore[operator]
    pads = [(0, 0), *((0, big - small) for big, small in zip(wanted, image.shape[1:], strict=True))]
    return np.pad(image, pads, mode="edge")


def _dice(image: Images, mask: MaskArray, segmenter: Segmenter, generator: Generator) -> list[float]:
    """Return the Dice of each label between a mask and what the segmenter finds in its normalised image."""
    run, plan = segmenter.run, generator.run.plan
    found = predict_outputs(
        segmenter.networks, torch.from_numpy(image), run.plan, run.recipe, mask.shape, segmenter.device
    )
    return [dice.measure(pair) for pair in pairs(mask, found, range(1, plan.outputs), plan.spacing_mm)]


def _compared(real: ImageSet, synthetic: ImageSet, run: RunFolder) -> dict[str, Any]:
    """Return adherence and, with enough cases for two halves, how alike the sets are."""
    if len(real.images) >= FEWEST:
        found = quality(real, synthetic, dict(enumerate(run.card.label_names, 1)))
        return {"adherence": found.pop("adherence", {}), "quality": found}
    say(f"{len(real.images)} held-out cases: too few to say how alike real and synthetic scans are.")
    of_labels = adherence(synthetic.dice, real.dice) if synthetic.dice and real.dice else {}
    return {"adherence": {label: one.as_json() for label, one in of_labels.items()}, "quality": {}}


def _tell(result: dict[str, Any], folder: Path) -> None:
    for name, line in result["adherence"].items():
        if isinstance(line, dict) and line["ratio"] is not None:
            say(
                f"{name}: Dice {line['synthetic_dice']:.3f} on synthetic scans, {line['real_dice']:.3f} on "
                f"the real ones: {100 * line['ratio']:.1f} % of the ceiling"
            )
    say(f"{result['cpu_seconds_each']:.3f} CPU-seconds a scan. Report: {folder / 'report.html'}")
