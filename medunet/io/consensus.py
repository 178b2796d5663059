"""One mask out of several readers' masks, weighted by how well each reader turns out to read (STAPLE)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from medunet.errors import DataError
from medunet.io.volume import Array

MAX_ROUNDS = 500
MARGIN_VOXELS = 1


@dataclass(frozen=True)
class Skill:
    """How a reader's label stands to the consensus; None where STAPLE leaves it open."""

    sensitivity: float | None
    specificity: float | None  # inside the box around all readers' voxels of the label


@dataclass(frozen=True)
class Consensus:
    """The most likely label of each voxel, and each reader's skill: skills[label][reader]."""

    mask: NDArray[np.uint16]
    skills: dict[int, dict[str, Skill]]


def consensus(masks: Mapping[str, Array], labels: Sequence[int]) -> Consensus:
    """Return the STAPLE consensus of two or more readers' integer masks (X, Y[, Z]) on one grid.

    Each label by itself (Warfield et al., IEEE TMI 2004), inside the box around all readers' voxels of it
    and one voxel more: more background would only push specificities to 1. A voxel gets the label of the
    highest probability, from one half upwards; where two are equal, the first named. With two readers it is
    an estimate from very little. Raises DataError for one mask or unequal grids.
    """
    _check(masks)
    found = np.zeros(next(iter(masks.values())).shape, np.uint16)
    whole = _box(np.logical_or.reduce([np.isin(mask, labels) for mask in masks.values()]))
    if whole is None:
        return Consensus(found, {label: dict.fromkeys(masks, Skill(None, None)) for label in labels})
    parts = {reader: mask[whole] for reader, mask in masks.items()}
    best = np.full(found[whole].shape, np.nextafter(0.5, 0))
    skills: dict[int, dict[str, Skill]] = {}
    for label in labels:
        marked = [part == label for part in parts.values()]
        box = _box(np.logical_or.reduce(marked))
        if box is None:
            skills[label] = dict.fromkeys(masks, Skill(None, None))
            continue
        probable, reads = _staple([mask[box] for mask in marked])
        wins = probable > best[box]
        found[whole][box][wins] = label
        best[box][wins] = probable[wins]
        skills[label] = dict(zip(masks, reads, strict=True))
    return Consensus(found, skills)


def _check(masks: Mapping[str, Array]) -> None:
    if len(masks) < 2:
        raise DataError(f"a consensus of {len(masks)} mask(s): expected those of two readers or more.")
    shapes = {reader: mask.shape for reader, mask in masks.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"masks of {shapes}: expected one grid. Compare masks of the same case.")


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Return where a mask is, and MARGIN_VOXELS around; None where it is empty."""
    found = find_objects(mask.astype(np.uint8))
    if not found:
        return None
    return tuple(slice(max(edge.start - MARGIN_VOXELS, 0), edge.stop + MARGIN_VOXELS) for edge in found[0])


def _staple(masks: Sequence[NDArray[np.bool_]]) -> tuple[NDArray[np.float64], list[Skill]]:
    """Return the probability of each voxel to belong to the structure, and the skill of each reader."""
    images = [SimpleITK.GetImageFromArray(np.ascontiguousarray(mask, np.uint8)) for mask in masks]
    staple = SimpleITK.STAPLEImageFilter()
    staple.SetForegroundValue(1)
    staple.SetMaximumIterations(MAX_ROUNDS)
    probable = SimpleITK.GetArrayFromImage(staple.Execute(images))
    pairs = zip(staple.GetSensitivity(), staple.GetSpecificity(), strict=True)
    return probable, [Skill(_known(sensitivity), _known(specificity)) for sensitivity, specificity in pairs]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
