"""From fingerprints and a machine to a plan: spacing, patch, batch, normalisation, depth and width.

The rules follow nnU-Net v2 (Isensee et al. 2021, doi:10.1038/s41592-020-01008-z) where quality is decided
(spacing, anisotropy, depth); the sizes are cut to what a stated machine trains in its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from medunet.config.card import Card
from medunet.config.plan import Plan
from medunet.config.recipe import Planning
from medunet.data.fingerprint import Fingerprint
from medunet.data.preprocess import ANISOTROPIC, statistics_of
from medunet.errors import ConfigError
from medunet.geometry import resampled_shape

Device = Literal["cpu", "cuda", "mps"]

# Voxels of a patch, patches of a batch, channels of the first stage. A CPU learns more per minute from many
# small steps; a GPU needs big ones to be busy.
PATCH_LIMIT = {("cpu", 3): 110_000, ("cpu", 2): 66_000, ("gpu", 3): 2_100_000, ("gpu", 2): 270_000}
BATCH = {("cpu", 3): 2, ("cpu", 2): 8, ("gpu", 3): 2, ("gpu", 2): 12}
FIRST_FEATURES = {"cpu": 16, "gpu": 32}
MOST_FEATURES = {3: 320, 2: 512}
SMALLEST_EDGE = 4  # voxels of the deepest stage
MOST_STAGES = 6
# Bytes that training keeps per voxel and feature channel of a stage: two convolutions with their norms and
# activations on each side of the network, with gradients (measured, see tests/data/test_plan.py).
BYTES_PER_ACTIVATION = 50
FIXED_GB = 0.6  # Python, torch and the loader


def make_plan(card: Card, cases: Sequence[Fingerprint], wishes: Planning, device: Device) -> Plan:
    """Return the plan for a data set; `reasons` says in words what was decided and why."""
    reasons: list[str] = []
    spacing_mm = wishes.spacing_mm or _target_spacing(cases, reasons)
    if len(spacing_mm) != card.dims:
        raise ConfigError(f"planning.spacing_mm: expected {card.dims} numbers, got {list(spacing_mm)}.")
    if wishes.patch_voxels and len(wishes.patch_voxels) != card.dims:
        raise ConfigError(
            f"planning.patch_voxels: expected {card.dims} numbers, got {list(wishes.patch_voxels)}."
        )
    shapes = [resampled_shape(case.shape, case.spacing_mm, spacing_mm) for case in cases]
    median = tuple(int(n) for n in np.median(shapes, axis=0))
    machine = "cpu" if device == "cpu" else "gpu"
    memory_gb = wishes.memory_gb or (4.0 if device == "cpu" else 8.0)
    patch = wishes.patch_voxels or _patch(median, spacing_mm, PATCH_LIMIT[machine, card.dims])
    batch = wishes.batch_size or BATCH[machine, card.dims]
    while True:
        strides, kernels = _stages(patch, spacing_mm)
        features = tuple(
            min(FIRST_FEATURES[machine] * 2**i, MOST_FEATURES[card.dims]) for i in range(len(strides))
        )
        needed_gb = training_gb(patch, batch, strides, features)
        if needed_gb <= memory_gb or not _can_shrink(patch, batch, wishes):
            break
        patch, batch = _shrink(patch, batch, spacing_mm, wishes)
    if needed_gb > memory_gb:
        raise ConfigError(
            f"planning.memory_gb: {memory_gb} GB are too little: the smallest plan needs {needed_gb:.1f} GB. "
            "Give more memory (--memory-gb), or fewer patch_voxels."
        )
    divisor = np.prod(strides, axis=0)
    patch = tuple(int(-(-n // d) * d) for n, d in zip(patch, divisor, strict=True))
    normalisation = wishes.normalisation or ("ct" if card.modality == "CT" else "zscore")
    reasons += [
        f"patch {'x'.join(map(str, patch))} of a median {'x'.join(map(str, median))}, batch {batch}: "
        f"about {needed_gb:.1f} of {memory_gb:.1f} GB on {device}",
        f"{len(strides)} stages: an axis is halved while it stays at least {2 * SMALLEST_EDGE} voxels long "
        "and is not twice as coarse as the finest",
        f"normalisation {normalisation}: "
        + (
            "CT numbers mean the same in every scan"
            if normalisation == "ct"
            else "intensities differ by scan"
        ),
    ]
    samples = np.concatenate([np.asarray(case.samples, float).reshape(-1, card.channels) for case in cases])
    return Plan(
        dims=card.dims,
        channels=card.channels,
        outputs=len(card.labels) + 1,
        spacing_mm=tuple(float(f"{s:.6g}") for s in spacing_mm),
        normalisation=normalisation,
        statistics=statistics_of(samples),
        patch_voxels=patch,
        batch_size=batch,
        strides=strides,
        kernels=kernels,
        features=features,
        memory_gb=memory_gb,
        device=device,
        reasons=tuple(reasons),
    )


def _target_spacing(cases: Sequence[Fingerprint], reasons: list[str]) -> tuple[float, ...]:
    """Return the median spacing; the coarsest axis of anisotropic data gets its 10th percentile instead."""
    spacings = np.asarray([case.spacing_mm for case in cases])
    shapes = np.median([case.shape for case in cases], axis=0)
    target = np.median(spacings, axis=0)
    coarse = int(np.argmax(target))
    others = [i for i in range(len(target)) if i != coarse]
    thick = target[coarse] > ANISOTROPIC * max(target[others])
    if thick and shapes[coarse] * ANISOTROPIC < min(shapes[others]):
        target[coarse] = max(np.percentile(spacings[:, coarse], 10), max(target[others]))
        reasons.append(f"spacing {_mm(target)}: the median; axis {coarse} is thick, so its 10th percentile")
    else:
        reasons.append(f"spacing {_mm(target)}: the median of {len(cases)} cases")
    return tuple(float(s) for s in target)


def _mm(spacing_mm: Sequence[float]) -> str:
    return " x ".join(f"{s:.3g}" for s in spacing_mm) + " mm"


def _patch(median: Sequence[int], spacing_mm: Sequence[float], limit: int) -> tuple[int, ...]:
    """Return the median shape, its longest edges (in mm) cut until the patch has at most `limit` voxels."""
    patch = list(median)
    while np.prod(patch) > limit:
        longest = int(
            np.argmax([n * s if n > SMALLEST_EDGE else 0 for n, s in zip(patch, spacing_mm, strict=True)])
        )
        patch[longest] -= max(1, patch[longest] // 16)
    return tuple(patch)


def _stages(
    patch: Sequence[int], spacing_mm: Sequence[float]
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    """Return strides and kernels per stage: coarse axes wait until the others have caught up with them."""
    edges, spacing = np.asarray(patch, float), np.asarray(spacing_mm, float)
    strides, kernels = [tuple(1 for _ in patch)], [_kernel(spacing)]
    while len(strides) < MOST_STAGES:
        halve = (edges >= 2 * SMALLEST_EDGE) & (
            spacing < 2 * spacing[edges >= 2 * SMALLEST_EDGE].min(initial=np.inf)
        )
        if not halve.any():
            break
        step = np.where(halve, 2, 1)
        edges, spacing = np.ceil(edges / step), spacing * step
        strides.append(tuple(int(s) for s in step))
        kernels.append(_kernel(spacing))
    return tuple(strides), tuple(kernels)


def _kernel(spacing: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[int, ...]:
    return tuple(1 if s >= 2 * spacing.min() else 3 for s in spacing)


def training_gb(
    patch: Sequence[int], batch: int, strides: Sequence[Sequence[int]], features: Sequence[int]
) -> float:
    """Estimate the memory of training in GB: activations of every stage, plus a fixed part."""
    voxels, total = float(np.prod(patch)), 0.0
    for stride, width in zip(strides, features, strict=True):
        voxels /= float(np.prod(stride))
        total += voxels * width
    return FIXED_GB + total * batch * BYTES_PER_ACTIVATION / 1e9


def _can_shrink(patch: Sequence[int], batch: int, wishes: Planning) -> bool:
    smaller_batch = wishes.batch_size is None and batch > 1
    return smaller_batch or (wishes.patch_voxels is None and max(patch) > 2 * SMALLEST_EDGE)


def _shrink(
    patch: tuple[int, ...], batch: int, spacing_mm: Sequence[float], wishes: Planning
) -> tuple[tuple[int, ...], int]:
    """Return a smaller plan: batches down to 2 first, then patches, then single patches."""
    may_patch = wishes.patch_voxels is None and max(patch) > 2 * SMALLEST_EDGE
    if wishes.batch_size is None and (batch > 2 or (batch > 1 and not may_patch)):
        return patch, batch - 1
    return _patch(patch, spacing_mm, int(np.prod(patch) * 0.8)), batch
