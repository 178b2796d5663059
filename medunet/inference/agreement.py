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

from medunet.inference.forward import Forward, Precision, Window
from medunet.inference.tiles import Tiling, seen

TOLERANCE = 0.98  # Dice of the labels of both; bf16 changes single voxels at borders
SMALL = 2000  # voxels of a label in both masks together, of which a few are more than the tolerance


def labels_dice(found: Tensor, expected: Tensor) -> float:
    """Return the Dice of two masks of one shape: of the worst label, small ones counted together.

    1 where both are empty.
    """
    top = int(max(found.max(), expected.max())) + 1
    pairs = [
        torch.bincount(mask.flatten().long(), minlength=top)[1:]
        for mask in (found, expected, torch.where(found == expected, found, 0))
    ]
    either, shared = pairs[0] + pairs[1], pairs[2]
    small = either < SMALL
    groups = [(int(e), int(s)) for e, s in zip(either[~small], shared[~small], strict=True)]
    groups.append((int(either[small].sum()), int(shared[small].sum())))
    return min((2 * s / e for e, s in groups if e), default=1.0)


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
    return seen(image, tiling, best, margin)


def agreement(network: nn.Module, converted: nn.Module, tile: Tensor, window: Window) -> float:
    """Return the Dice between a network in fp32 and what it was converted to, on one tile (C, *seen)."""
    once = replace(window, mirror_axes=())
    exact = Forward(network, replace(once, precision="fp32"))
    with torch.inference_mode():
        expected, found = (one.batch([tile]).argmax(1) for one in (exact, Forward(converted, once)))
    return labels_dice(found, expected)


def recorded(folder: Path | None, precision: Precision) -> float | None:
    """Return the agreement that was found for a folder's converted network; None: not known."""
    if folder is None:
        return None
    try:
        return float(json.loads(_place(folder, precision).read_text(encoding="utf-8"))["dice"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def record(folder: Path | None, precision: Precision, dice: float) -> None:
    """Keep an agreement beside the converted network, where there is such a folder."""
    if folder is None or not folder.is_dir():
        return
    place = _place(folder, precision)
    temporary = place.with_suffix(".part")
    try:
        temporary.write_text(json.dumps({"dice": dice}), encoding="utf-8")
        temporary.replace(place)
    except OSError:
        return


def _place(folder: Path, precision: Precision) -> Path:
    """Return where the agreement is kept: the same conversion computes in bf16 on one machine only."""
    return folder / f"agreement_{precision}.json"
