"""A training mask bent by a diffeomorphism: the same parts in the same order, of another build."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medunet.shapes.family import Family, Mask, NewMask, cut
from medunet.shapes.warp import How, draw_warp, look

UNCHANGED = False
REACH = 3  # voxels around a canvas that its edge may look at, besides what is found to be needed


class Options(How):
    """How far space is changed, and how smooth borders are."""

    smooth_voxels: float = 0.6  # Gaussian on each label before it is moved; 0 for structures one voxel wide


def draw(options: Options, family: Family, generator: np.random.Generator) -> NewMask:
    """Return a source, deformed."""
    index = family.draw(generator)
    window = family.window(index, generator)
    margin = ceil(2 * options.shift_voxels[1]) + 1
    first, size = family.canvas(index, window, margin)
    warp, facts = draw_warp(generator, size, family.spacing_mm, options)
    canvas = moved(family.sources[index].mask, first, warp.coordinates, options.smooth_voxels)
    mask = family.framed(canvas, tuple(w - f for w, f in zip(window, first, strict=True)))
    return NewMask(mask, (family.sources[index].identity,), facts | {"first_voxel": list(window)})


def moved(mask: Mask, first: tuple[int, ...], coordinates: NDArray[np.float64], smooth_voxels: float) -> Mask:
    """Return the labels found at places (d, *size), in voxels from `first` of the mask.

    Every label is moved as a smooth share of a voxel and the largest share wins, so that borders stay smooth.
    """
    axes = tuple(range(1, coordinates.ndim))
    low = np.floor(coordinates.min(axes)).astype(int) - REACH
    high = np.ceil(coordinates.max(axes)).astype(int) + REACH + 1
    part = cut(mask, [int(f + a) for f, a in zip(first, low, strict=True)], [int(n) for n in high - low])
    places = coordinates - low.reshape(-1, *[1] * len(axes))
    out = np.zeros(coordinates.shape[1:], np.uint8)
    best = np.zeros(coordinates.shape[1:], np.float32)
    for label in np.unique(part):
        share = look(gaussian_filter((part == label).astype(np.float32), smooth_voxels), places)
        out[share > best] = label
        best = np.maximum(share, best)
    return out
