"""A first pass without overlap: where labels may be, so that the rest need not be computed as carefully."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from medunet.inference.forward import Forward, Window
from medunet.inference.tiles import Tiling, seen

SURE = 0.95  # probability of background above which a voxel is not looked at again
PAYS = 3.0  # windows of the full pass for each of the first


def pays(shape: Sequence[int], window: Window, networks: int, allowed: float | None = None) -> bool:
    """Tell whether the full pass over an image (*shape) costs so much more that the first one is worth it.

    allowed: windows for which there is time.
    """
    first, full = (
        math.prod(len(axis) for axis in Tiling(shape, window.patch_voxels, overlap).grid)
        for overlap in (0.0, window.overlap)
    )
    in_time = allowed is None or first <= allowed
    return in_time and full * networks * 2 ** len(window.mirror_axes) >= PAYS * first


def may_hold_labels(network: nn.Module, image: Tensor, window: Window) -> Tensor:
    """Return the voxels (*S) of an image (C, *S) that may be something else than background, on the CPU."""
    once = replace(window, overlap=0.0, mirror_axes=())
    forward = Forward(network, once)
    tiling = Tiling(tuple(image.shape[1:]), once.patch_voxels, once.overlap)
    found = torch.zeros(tiling.padded, dtype=torch.bool)
    tiles = ((place, seen(image, tiling, place, forward.margin)) for place in itertools.product(*tiling.grid))
    for place, logits in forward(tiles):
        box = tuple(slice(at, at + n) for at, n in zip(place, once.patch_voxels, strict=True))
        found[box] |= (torch.softmax(logits.float(), 0)[0] < SURE).cpu()
    return found[tiling.inside]
