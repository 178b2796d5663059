"""Where windows lie, how they are weighted, and how they are cut out of an image with mirrored borders."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

SIGMA = 1 / 8  # of the Gaussian, in patch sizes; as in nnU-Net and MONAI
FLOOR = 1e-3  # smallest weight along an axis: every voxel keeps a usable sum


def starts(size: int, patch: int, overlap: float) -> list[int]:
    """Return first voxels of evenly spread windows that cover an axis and overlap at least as much as asked.

    >>> starts(10, 4, 0.5), starts(3, 4, 0.5)
    ([0, 2, 4, 6], [0])
    """
    free = max(0, size - patch)
    count = math.ceil(free / max(1, int(patch * (1 - overlap)))) + 1
    return [round(free * step / max(1, count - 1)) for step in range(count)]


def gaussian(patch: int) -> Tensor:
    """Return importance along one axis, (patch,), 1 at the centre."""
    distance = (torch.arange(patch) - (patch - 1) / 2) / (patch * SIGMA)
    return torch.exp(-0.5 * distance**2).clamp(min=FLOOR)


def product(factors: Sequence[Tensor]) -> Tensor:
    """Return the outer product of 1D tensors: shape (len(f0), len(f1), ...)."""
    out = torch.ones(())
    for factor in factors:
        out = out[..., None] * factor
    return out


def mirrored(first: int, last: int, size: int) -> Tensor:
    """Return indices for positions first..last-1 of an axis that is mirrored at its border voxels.

    >>> mirrored(-2, 4, 3).tolist()
    [2, 1, 0, 1, 2, 1]
    """
    if size == 1:
        return torch.zeros(last - first, dtype=torch.int64)
    period = 2 * (size - 1)
    inside = torch.arange(first, last) % period
    return torch.minimum(inside, period - inside)


def cut(image: Tensor, first: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Return the box (C, *shape) of an image (C, *S) that starts at `first`, mirrored outside the image."""
    for axis, (start, length) in enumerate(zip(first, shape, strict=True), 1):
        size = image.shape[axis]
        if start >= 0 and start + length <= size:
            image = image.narrow(axis, start, length)
        else:
            image = image.index_select(axis, mirrored(start, start + length, size).to(image.device))
    return image


def seen(image: Tensor, tiling: Tiling, place: Sequence[int], margin: Sequence[int]) -> Tensor:
    """Return what a network with a margin sees of an image (C, *S) for a window: (C, *patch + 2 margins)."""
    size = [length + 2 * lost for length, lost in zip(tiling.patch, margin, strict=True)]
    return cut(image, tiling.corner(place, margin), size)


class Tiling:
    """A grid of windows over an image of `shape`; an axis shorter than its patch is padded on both sides.

    The grid is a product of places per axis, so weights and their sums over windows are products too.
    """

    def __init__(self, shape: Sequence[int], patch: Sequence[int], overlap: float) -> None:
        """Place the windows; `grid` holds their first voxels per axis, counted in the padded image."""
        self.patch = tuple(patch)
        pairs = list(zip(shape, patch, strict=True))
        self.padded = tuple(max(size, length) for size, length in pairs)
        self.before = tuple((max(size, length) - size) // 2 for size, length in pairs)
        self.inside = tuple(
            slice(first, first + size) for first, size in zip(self.before, shape, strict=True)
        )
        self.grid = [starts(size, length, overlap) for size, length in zip(self.padded, patch, strict=True)]
        self._factors = [gaussian(length) for length in patch]
        self._sums = [_summed(*axis) for axis in zip(self.padded, self.grid, self._factors, strict=True)]

    def share(self, place: Sequence[int]) -> Tensor:
        """Return what a window at `place` counts for at each of its voxels, (*patch).

        The shares of all windows over a voxel add up to 1.
        """
        axes = zip(place, self._factors, self._sums, strict=True)
        return product([factor / total[at : at + len(factor)] for at, factor, total in axes])

    def box(self, place: Sequence[int]) -> tuple[slice, ...]:
        """Return the part of the image that a window at `place` covers."""
        axes = zip(place, self.before, self.patch, strict=True)
        return tuple(slice(max(0, at - pad), max(0, at - pad + length)) for at, pad, length in axes)

    def steps(self) -> list[tuple[int, int]]:
        """Return each start along the first axis with the one after it; rows before that are final."""
        return list(itertools.pairwise([*self.grid[0], self.padded[0]]))

    def corner(self, place: Sequence[int], margin: Sequence[int]) -> list[int]:
        """Return the first voxel, in the image, of what a network with a margin sees for a window."""
        return [at - pad - lost for at, pad, lost in zip(place, self.before, margin, strict=True)]

    def final(self, first: int, following: int) -> tuple[slice, ...]:
        """Return the box of the image that is final, in padded voxels but with rows counted from `first`."""
        rows = self.inside[0]
        local = slice(max(first, rows.start) - first, max(first, min(following, rows.stop)) - first)
        return (local, *self.inside[1:])


def _summed(size: int, places: Sequence[int], factor: Tensor) -> Tensor:
    """Return the sum of weights of all windows along one axis, (size,)."""
    total = torch.zeros(size)
    for place in places:
        total[place : place + len(factor)] += factor
    return total
