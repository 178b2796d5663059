"""Training masks with known make: organs of two labels, cells, organs with lesions."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from medunet.shapes import Source
from tests.phantoms import ball

FRAME = {2: (48, 56), 3: (20, 26, 18)}
SIZE = {2: (52, 60), 3: (22, 28, 20)}  # of the sources


def organ(seed: int, dims: int) -> NDArray[np.uint8]:
    """Return an ellipsoid, longest along the second axis, whose back half is label 2."""
    rng = np.random.default_rng(seed)
    shape = SIZE[dims]
    radii = np.array([0.24, 0.36, 0.26][:dims]) * shape * rng.uniform(0.85, 1.1, dims)
    centre = np.array(shape) / 2 + rng.uniform(-1, 1, dims)
    grid = np.indices(shape) - centre.reshape(-1, *[1] * dims)
    inside = ((grid / radii.reshape(-1, *[1] * dims)) ** 2).sum(0) <= 1
    return (inside * np.where(grid[1] < rng.uniform(-1, 1), 1, 2)).astype(np.uint8)


def cells(seed: int, size: int = 96) -> NDArray[np.uint8]:
    """Return discs that do not touch."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((size, size), np.uint8)
    for _ in range(60):
        disc = ball(mask.shape, tuple(rng.uniform(0, size, 2)), rng.uniform(4, 8))
        wide = ball(mask.shape, tuple(np.argwhere(disc).mean(0)) if disc.any() else (0.0, 0.0), 11)
        if not mask[wide].any():
            mask[disc] = 1
    return mask


def lesions(seed: int) -> NDArray[np.uint8]:
    """Return an organ (label 1) with two or three round lesions (label 2) inside."""
    rng = np.random.default_rng(seed)
    mask = ball((52, 60), (26, 30), rng.uniform(20, 23)).astype(np.uint8)
    for angle in rng.uniform(0, 0.6) + np.arange(rng.integers(2, 4)) * 2:
        centre = (26 + 11 * np.cos(angle), 30 + 11 * np.sin(angle))
        mask[ball(mask.shape, centre, rng.uniform(2.5, 4.5))] = 2
    return mask


@cache
def family(kind: str, count: int = 10) -> tuple[Source, ...]:
    """Return sources of a kind: organ2, organ3, cells or lesions."""
    make = {"organ2": lambda i: organ(i, 2), "organ3": lambda i: organ(i, 3), "cells": cells}
    made = [make.get(kind, lesions)(i) for i in range(count)]
    return tuple(Source(mask, f"{kind}-{i}") for i, mask in enumerate(made))


def frame(kind: str) -> tuple[int, ...]:
    """Return the frame that new masks of a kind have; cells do not fit into theirs."""
    return FRAME[3 if kind == "organ3" else 2]
