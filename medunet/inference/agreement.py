"""Whether a converted network still says what the network says: compared on one tile of a real image."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from medunet.inference.forward import Forward, Window
from medunet.inference.tiles import Tiling, cut

TOLERANCE = 0.98  # Dice of the labels of both; bf16 changes single voxels at borders
RECORD = "agreement.json"


def labels_dice(found: Tensor, expected: Tensor) -> float:
    """Return the Dice of two masks of one shape over all labels together; 1 where both are empty."""
    shared = ((found == expected) & (expected > 0)).sum()
    either = (found > 0).sum() + (expected > 0).sum()
    return float(2 * shared / either) if either else 1.0


def tile_with_most(
    labels: Tensor, image: Tensor, patch_voxels: Sequence[int], margin: Sequence[int]
) -> Tensor:
    """Return what a network sees, (C, *seen), of the tile of an image (C, *S) that holds the most labels.

    labels: (*out_shape), over the same box as the image.
    """
    shape = tuple(image.shape[1:])
    tiling = Tiling(shape, patch_voxels, 0.0)
    scale = [n / m for n, m in zip(labels.shape, shape, strict=True)]

    def marked(place: Sequence[int]) -> int:
        box = [
            slice(int((at - pad) * factor) if at > pad else 0, math.ceil((at - pad + length) * factor))
            for at, pad, length, factor in zip(place, tiling.before, patch_voxels, scale, strict=True)
        ]
        return int(labels[tuple(box)].count_nonzero())

    places = list(itertools.product(*tiling.grid))
    middle = places[len(places) // 2]
    best = max([middle, *places], key=marked)  # the middle one where there is no label at all
    size = [length + 2 * lost for length, lost in zip(patch_voxels, margin, strict=True)]
    return cut(image, tiling.corner(best, margin), size)


def agreement(network: nn.Module, converted: nn.Module, tile: Tensor, window: Window) -> float:
    """Return the Dice between a network in fp32 and what it was converted to, on one tile (C, *seen)."""
    once = replace(window, mirror_axes=())
    exact = Forward(network, replace(once, precision="fp32"))
    with torch.inference_mode():
        expected, found = (one.batch([tile]).argmax(1) for one in (exact, Forward(converted, once)))
    return labels_dice(found, expected)


def recorded(folder: Path | None) -> float | None:
    """Return the agreement that was found when a folder's network was converted; None: not known."""
    try:
        return float(json.loads((folder / RECORD).read_text(encoding="utf-8"))["dice"]) if folder else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def record(folder: Path | None, dice: float) -> None:
    """Keep an agreement beside the converted network, where there is such a folder."""
    if folder is None or not folder.is_dir():
        return
    temporary = folder / f"{RECORD}.part"
    try:
        temporary.write_text(json.dumps({"dice": dice}), encoding="utf-8")
        temporary.replace(folder / RECORD)
    except OSError:
        return
