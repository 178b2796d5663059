"""The overlap of windows that a time budget allows, from the time that one tile really takes."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from medunet.inference.forward import Forward, Window, flat_value
from medunet.inference.rows import LabelRows
from medunet.inference.tiles import Tiling, seen

OVERLAPS = (0.4, 0.3, 0.25, 0.2, 0.15, 0.1)  # below what was asked for; less would show seams


@dataclass(frozen=True)
class Fit:
    """A choice, and the seconds that it is expected to take."""

    overlap: float
    seconds: float
    tile_seconds: float


def fit(
    networks: Sequence[nn.Module],
    image: Tensor,
    window: Window,
    out_shape: Sequence[int],
    seconds: float,
    where: Tensor | None = None,
) -> Fit:
    """Return the largest overlap, at most the window's own, that is expected to be done within `seconds`.

    Where none is, the smallest one. The time of a tile is measured on the image's middle. where: as
    `predict_labels` takes it.
    """
    tile_seconds, label_seconds = _measured(networks, image, window, out_shape)
    overlaps = [window.overlap, *(less for less in OVERLAPS if less < window.overlap)]
    margin = Forward(networks[0], window).margin
    for overlap in overlaps:
        tiles = computed_tiles(image, replace(window, overlap=overlap), margin, where)
        chosen = Fit(overlap, tiles * tile_seconds + label_seconds, tile_seconds)
        if chosen.seconds <= seconds:
            break
    return chosen


def computed_tiles(image: Tensor, window: Window, margin: Sequence[int], where: Tensor | None = None) -> int:
    """Return how many tiles of an image (C, *S) the network has to compute: flat ones count once a value."""
    tiling = Tiling(tuple(image.shape[1:]), window.patch_voxels, window.overlap)
    places = (p for p in itertools.product(*tiling.grid) if where is None or where[tiling.box(p)].any())
    values = [flat_value(seen(image, tiling, place, margin)) for place in places]
    return values.count(None) + len(set(values) - {None})


def _measured(
    networks: Sequence[nn.Module], image: Tensor, window: Window, out_shape: Sequence[int]
) -> tuple[float, float]:
    """Return the seconds that a tile takes in all networks, and the labels of the whole image."""
    shape = tuple(image.shape[1:])
    tiling = Tiling(shape, window.patch_voxels, 0.0)
    place = tuple(axis[len(axis) // 2] for axis in tiling.grid)
    total = 0.0
    for network in networks:
        forward = Forward(network, window)
        tile = seen(image, tiling, place, forward.margin)
        for _ in range(2):  # the first one also warms up
            begun = time.monotonic()
            logits = forward.batch([tile])[0]
            last = time.monotonic() - begun
        total += last
    scale = [n / m for n, m in zip(out_shape, shape, strict=True)]
    out = [max(1, round(n * factor)) for n, factor in zip(window.patch_voxels, scale, strict=True)]
    begun = time.monotonic()
    probs = torch.softmax(logits.float(), 0).transpose(0, 1)
    LabelRows(window.patch_voxels, out, len(logits)).add(probs)
    share = math.prod(out_shape) / math.prod(out)
    return total, (time.monotonic() - begun) * share * len(networks)
