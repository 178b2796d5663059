"""A training mask under a drawn warp: the common part of the methods that bend whole masks."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from medunet.shapes.family import Family, Mask, cut
from medunet.shapes.warp import How, draw_warp, look, softened

REACH = 3  # voxels beyond what a canvas looks at, for the Gaussian


class Bend(How):
    """How far space is changed, and how smooth borders are."""

    smooth_voxels: float = Field(
        0.6, ge=0
    )  # Gaussian on each label before it moves; 0: for lines of one voxel


def bent(
    index: int, how: Bend, family: Family, generator: np.random.Generator
) -> tuple[Mask, dict[str, Any]]:
    """Return a source, warped, in the family's frame, and what was drawn; Refused where space would fold."""
    window = family.window(index, generator)
    first, size = family.canvas(index, window, ceil(2 * how.shift_voxels[1]) + 1)
    warp, facts = draw_warp(generator, size, family.spacing_mm, how)
    canvas = moved(family.sources[index].mask, first, warp.coordinates, how.smooth_voxels)
    mask = family.framed(canvas, tuple(w - f for w, f in zip(window, first, strict=True)))
    return mask, facts | {"first_voxel": list(window)}


def moved(mask: Mask, first: tuple[int, ...], coordinates: NDArray[np.float64], smooth_voxels: float) -> Mask:
    """Return the labels found at places (d, *size), in voxels from `first` of the mask.

    Every label is moved as a smooth share of a voxel and the largest share wins, so that borders stay smooth.
    """
    axes = tuple(range(1, coordinates.ndim))
    low = np.floor(coordinates.min(axes)).astype(int) - REACH
    high = np.ceil(coordinates.max(axes)).astype(int) + REACH + 1
    part = cut(mask, [int(f + a) for f, a in zip(first, low, strict=True)], [int(n) for n in high - low])
    places = coordinates - low.reshape(-1, *[1] * len(axes))
    labels = [0, *(int(label) for label in np.unique(part) if label)]
    shares = np.zeros((len(labels), *coordinates.shape[1:]), np.float32)
    for share, label in zip(shares[1:], labels[1:], strict=True):
        share[:] = look(softened(part == label, smooth_voxels), places)
    shares[0] = 1 - shares.sum(0)
    return np.array(labels, np.uint8)[shares.argmax(0)]
