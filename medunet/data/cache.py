"""Preprocessed cases on disk: memory-mapped, named by content, written whole or not at all.

CACHE/cases/KEY/ image.npy (C, X, Y[, Z]) float16, mask.npy (X, Y[, Z]) uint8, foreground.npy, entry.json
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medunet.config.card import IGNORED, Card
from medunet.config.plan import Plan
from medunet.data.cases import Case
from medunet.data.fingerprint import content_key, read_pair, read_scan
from medunet.data.preprocess import network_shape, normalise, resample_image, resample_mask, to_outputs
from medunet.errors import DataError
from medunet.io.check import same_grid
from medunet.io.read import read_mask
from medunet.io.volume import Volume

VERSION = "1"  # raise it when preprocessing changes
FOREGROUND_POINTS = 10_000  # voxels remembered per label and case, to centre patches on
LARGEST_FLOAT16 = 60_000.0


@dataclass(frozen=True)
class Entry:
    """One preprocessed case; the arrays stay on disk until they are indexed."""

    case: str
    folder: Path

    @property
    def image(self) -> NDArray[np.float16]:
        """(C, X, Y[, Z]), memory-mapped."""
        found: NDArray[np.float16] = np.load(self.folder / "image.npy", mmap_mode="r", allow_pickle=False)
        return found

    @property
    def mask(self) -> NDArray[np.uint8]:
        """(X, Y[, Z]) network outputs, memory-mapped; of synthetic cases also IGNORED."""
        found: NDArray[np.uint8] = np.load(self.folder / "mask.npy", mmap_mode="r", allow_pickle=False)
        return found

    @property
    def foreground(self) -> NDArray[np.int32]:
        """(n, 1 + d): network output and voxel, a drawn part of all labelled voxels."""
        found: NDArray[np.int32] = np.load(self.folder / "foreground.npy", allow_pickle=False)
        return found


def preprocessing_key(content: str, card: Card, plan: Plan) -> str:
    """Return the name of a case's entry: everything that decides its bytes."""
    how = plan.model_dump_json(include={"spacing_mm", "normalisation"})
    statistics = plan.model_dump_json(include={"statistics"}) if plan.normalisation == "ct" else ""
    text = f"{VERSION}|{content_key(content, card)}|{how}|{statistics}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def cached(
    case: Case, card: Card, plan: Plan, content: str, cache: Path, weights: Path | None = None
) -> Entry:
    """Return the entry of a case, made now if it is not there; an interrupted one is made again.

    weights: a mask on the case's grid; voxels that are 0 in it become IGNORED. Without a mask all voxels are.
    `content` must tell these apart.
    """
    folder = cache / "cases" / preprocessing_key(content, card, plan)
    if (folder / "entry.json").is_file():
        return Entry(case.id, folder)
    image, outputs = _read(case, card, weights)
    shape = network_shape(image.shape, image.spacing_mm, plan)
    resampled = normalise(resample_image(image.array, shape, image.spacing_mm), plan)
    labels = resample_mask(outputs, shape)
    arrays: dict[str, NDArray[Any]] = {
        "image": np.clip(resampled, -LARGEST_FLOAT16, LARGEST_FLOAT16).astype(np.float16),
        "mask": labels,
        "foreground": foreground_points(labels),
    }
    facts = {"case": case.id, "shape": list(shape), "spacing_mm": list(plan.spacing_mm)}
    try:
        _publish(folder, arrays, facts)
    except OSError as error:
        # numpy tells a short write without a number: the disk is full
        reason = error if error.errno else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        needed_mb = sum(array.nbytes for array in arrays.values()) / 1e6
        raise DataError(
            f"{folder}: the cache entry of {case.id} cannot be written ({reason.strerror}); it needs about "
            f"{needed_mb:.1f} MB. Make room, or name another --workspace."
        ) from reason
    return Entry(case.id, folder)


def _read(case: Case, card: Card, weights: Path | None) -> tuple[Volume, NDArray[np.uint8]]:
    """Return the image and its network outputs."""
    if case.mask is None:
        image = read_scan(case, card)
        return image, np.full(image.shape, IGNORED, np.uint8)
    image, mask = read_pair(case, card)
    outputs = to_outputs(mask.array, card)
    if weights is not None:
        outputs[_weights(weights, mask) == 0] = IGNORED
    return image, outputs


def _weights(path: Path, mask: Volume) -> NDArray[np.uint8]:
    found = read_mask(path, labels=(1,))
    if problem := same_grid(mask, found):
        raise DataError(problem)
    return found.array


def foreground_points(labels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return up to 10,000 voxels of each label as rows (label, x, y[, z]); none that is IGNORED."""
    rows = []
    generator = np.random.default_rng(0)
    for label in np.unique(labels[(labels > 0) & (labels != IGNORED)]):
        flat = np.flatnonzero(labels == label)
        kept = np.sort(generator.choice(flat, min(FOREGROUND_POINTS, len(flat)), replace=False))
        points = np.stack(np.unravel_index(kept, labels.shape), axis=1)
        rows.append(np.column_stack([np.full(len(points), label), points]))
    if not rows:
        return np.zeros((0, 1 + labels.ndim), np.int32)
    return np.concatenate(rows).astype(np.int32)


def _publish(folder: Path, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
    """Write an entry beside its place and move it there in one step; a parallel writer's twin is as good."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        (temporary / "entry.json").write_text(json.dumps(facts), encoding="utf-8")
        if folder.exists() and not (folder / "entry.json").is_file():
            shutil.rmtree(folder)  # damaged: somebody removed a part of it
        temporary.replace(folder)
    except OSError:
        if not (folder / "entry.json").is_file():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
