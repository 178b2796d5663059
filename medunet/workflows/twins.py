"""Twins: held-out scans, and synthetic ones for the same masks, that a generator has never seen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from medunet.data.cache import Entry
from medunet.data.conditions import image_facts
from medunet.errors import DataError
from medunet.tasks.generate import BATCH, Generator, Wishes
from medunet.tasks.synthesize import middle
from medunet.workflows.progress import progress

SEED = 2_000_000  # of the first sample


@dataclass(frozen=True)
class Twins:
    """Held-out patches and synthetic scans for the same masks, normalised, on the network's grid."""

    cases: tuple[str, ...]
    patients: tuple[str, ...]
    masks: NDArray[np.uint8]  # (N, *S) network labels
    real: NDArray[np.float32]  # (N, C, *S)
    synthetic: NDArray[np.float32]
    cpu_seconds: float  # a synthetic scan


def make_twins(generator: Generator, entries: Sequence[Entry], **how: Unpack[Wishes]) -> Twins:
    """Return held-out patches and synthetic scans for their masks; DataError if there are none."""
    if not entries:
        raise DataError(f"{generator.run.path}: no held-out case of fold {generator.fold} can be used.")
    plan, run = generator.run.plan, generator.run
    patches = [middle(entry, plan.patch_voxels) for entry in entries]
    masks = np.concatenate([mask.numpy() for _, mask in patches]).astype(np.uint8)
    codes = _codes(generator, entries)
    made, spent, size = [], 0.0, BATCH[plan.dims]
    with progress("Sampling for held-out masks", len(masks)) as bar:
        for first in range(0, len(masks), size):
            part = slice(first, first + size)
            seeds = [SEED + number for number in range(first, min(first + size, len(masks)))]
            begun = time.process_time()
            made.append(generator.images(masks[part], codes[part], seeds, **how))
            spent += time.process_time() - begun
            bar.advance(len(seeds))
    return Twins(
        tuple(entry.case for entry in entries),
        tuple(run.folds.patients[entry.case] for entry in entries),
        masks,
        np.concatenate([image.numpy() for image, _ in patches]),
        np.concatenate(made),
        spent / len(masks),
    )


def _codes(generator: Generator, entries: Sequence[Entry]) -> NDArray[np.float32]:
    """Return the attributes of held-out cases, as far as the images themselves say them."""
    attributes = generator.learnt.attributes
    rows = [[a.code(facts.get(a.name)) for a in attributes] for facts in map(image_facts, entries)]
    return np.array(rows, np.float32).reshape(len(entries), len(attributes))
