"""Where in the training images may a picture come from: every window of every case, on a coarse scale.

A window is described by its principal components over windows of the training cases: a linear encoder that
was trained on them without labels. Dot products of descriptions are correlations, so all places and turns of
all cases are one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

from medunet.gate.views import Array, Turn, View, averaged, root, turns

COARSER = 2  # compared voxels in one of the index
# A copy may be enlarged: what was cut out of a case is stretched to the window. So a picture is looked for as
# it is, and made smaller; of its edges so much is looked for then.
ZOOMS = {1.0: 1.0, 1.2: 0.75}
SMOOTH = 1.0  # sigma in compared voxels, before the coarse means: these lie COARSER apart
MARGIN = 8  # windows may stick out of a case by one in so many
COMPONENTS = {2: 96, 3: 256}  # 2D sets have a million windows, 3D crops some thousands
DRAWN = 3000  # windows from which the components are learnt
BLANK = 1e-3
STRETCH = 512  # windows of a case that are one after the other: large images have several good places


@dataclass(frozen=True)
class Place:
    """Where a picture may come from."""

    case: int
    turn: Turn  # of the picture, so that it lies as the case does
    zoom: float  # of the picture, beside the case
    corner: tuple[int, ...]  # of the part looked for in compared voxels of the case; may be negative


def part(window: Sequence[int], zoom: float) -> tuple[int, ...]:
    """Return the middle part of a window (compared voxels) that is looked for at a zoom.

    >>> part((32, 32), 1.2), part((16, 25, 16), 1.0)
    ((24, 24), (16, 24, 16))
    """
    return tuple(max(COARSER, int(n * ZOOMS[zoom]) // COARSER * COARSER) for n in window)


def margin(window: Sequence[int]) -> tuple[int, ...]:
    """Return how far that part may stick out of a case (compared voxels)."""
    return tuple(max(1, n // COARSER // MARGIN) * COARSER for n in window)


@dataclass(frozen=True)
class Index:
    """All windows of all cases, for pictures at one zoom."""

    window: tuple[int, ...]  # in compared voxels
    zoom: float
    components: Array  # (k, voxels)
    described: Array  # (windows, k), case by case
    corner: NDArray[np.int16]  # (windows, d)
    first: NDArray[np.intp]  # (stretches,) number of the first window of each stretch
    case: NDArray[np.intp]  # (stretches,) the case that it lies in

    @classmethod
    def build(cls, views: Sequence[View], window: Sequence[int], zoom: float, seed: int = 0) -> Index:
        """Return the index of views that are at least as large as the window (compared voxels)."""
        small = tuple(n // COARSER for n in part(window, zoom))
        beyond = margin(window)
        around = [(n, n) for n in beyond]
        coarse = [_coarse(np.pad(root(view.grey), around, mode="reflect")) for view in views]
        components = _components(coarse, small, seed)
        described, corner, first, case = [], [], [], []
        count = 0
        for number, image in enumerate(coarse):
            places = np.indices([n - m + 1 for n, m in zip(image.shape, small, strict=True)])
            described.append(_described(_windows(image, small), components))
            corner.append((places.reshape(len(small), -1).T * COARSER - beyond).astype(np.int16))
            starts = range(count, count + len(corner[-1]), STRETCH)
            first += list(starts)
            case += [number] * len(starts)
            count += len(corner[-1])
        tables = (np.concatenate(described), np.concatenate(corner), np.array(first), np.array(case))
        return cls(tuple(window), zoom, components, *tables)

    def places(self, views: Sequence[View], most: int, without: Sequence[Sequence[int]]) -> list[list[Place]]:
        """Return for each picture its `most` likeliest places, the likeliest first.

        Of each stretch of windows the best one in every turn is a place. without: cases that do not count,
        per picture.
        """
        ways, coarse = turns(self.window), []
        for view in views:
            grey = root(view.shrunk(self.zoom).middle(part(self.window, self.zoom)).grey)
            coarse += [_coarse(turn.of(grey)).ravel() for turn in ways]
        wanted = _described(np.stack(coarse), self.components).T
        ends = [*self.first[1:], len(self.described)]
        like: NDArray[np.float32] = np.empty((len(ends), wanted.shape[1]), np.float32)
        window: NDArray[np.intp] = np.empty(like.shape, np.intp)
        for stretch, (start, end) in enumerate(zip(self.first, ends, strict=True)):
            found = self.described[start:end] @ wanted  # (windows, pictures and turns)
            best = found.argmax(0)
            like[stretch] = found[best, np.arange(found.shape[1])]
            window[stretch] = best + start
        like = like.reshape(len(ends), len(views), len(ways))
        window = window.reshape(like.shape)
        out = []
        for number, others in enumerate(without):
            mine = np.where(np.isin(self.case, others)[:, None], -np.inf, like[:, number])
            order = np.argsort(-mine, axis=None)[: min(most, int(np.isfinite(mine).sum()))]
            stretches, chosen = np.unravel_index(order, mine.shape)
            corners = self.corner[window[stretches, number, chosen]]
            rows = zip(self.case[stretches], chosen, corners, strict=True)
            out.append([Place(int(case), ways[way], self.zoom, _ints(at)) for case, way, at in rows])
        return out


def _ints(values: NDArray[np.int16]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _coarse(image: Array) -> Array:
    smooth = np.asarray(ndimage.gaussian_filter(image, SMOOTH, mode="nearest"), np.float32)
    return averaged(smooth, (COARSER,) * image.ndim)


def _windows(image: Array, small: Sequence[int]) -> Array:
    view = sliding_window_view(image, tuple(small))
    return view.reshape(-1, int(np.prod(small)))


def _described(windows: Array, components: Array) -> Array:
    """Return components (n, k) of windows (n, voxels), each with mean 0 and norm 1 (blank ones near 0)."""
    centred = windows - windows.mean(1, keepdims=True)
    norm = np.linalg.norm(centred, axis=1, keepdims=True) + BLANK
    return np.asarray((centred / norm) @ components.T, np.float32)


def _components(coarse: Sequence[Array], small: Sequence[int], seed: int) -> Array:
    random = np.random.default_rng(seed)
    drawn = []
    for number in random.integers(len(coarse), size=DRAWN):
        corner = [int(random.integers(n - m + 1)) for n, m in zip(coarse[number].shape, small, strict=True)]
        box = tuple(slice(a, a + m) for a, m in zip(corner, small, strict=True))
        drawn.append(coarse[number][box].ravel())
    table = np.stack(drawn)
    table = table - table.mean(1, keepdims=True)
    table /= np.linalg.norm(table, axis=1, keepdims=True) + BLANK
    _, vectors = np.linalg.eigh(table.T @ table)
    return np.asarray(vectors[:, ::-1][:, : COMPONENTS[len(small)]].T, np.float32)
