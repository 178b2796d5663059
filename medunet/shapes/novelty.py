"""How far a mask is from every training mask: 1 - the largest Dice, after the best shift is found.

Masks that fit into the frame are laid centroid on centroid. A frame that shows only a part of a training mask
is compared with every part of it (by FFT). Either way coarsely first, then exactly for the best matches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfftn, next_fast_len, rfftn
from scipy.signal import fftconvolve

from medunet.shapes.family import box_of, cut

Mask = NDArray[np.uint8]
Maps = NDArray[np.float32]
Array = NDArray[np.float64]

CELLS = {2: 48, 3: 24}  # per axis of the coarse grid that centred masks are compared on
PART_CELLS = {2: 16, 3: 10}  # of the coarse grid on which parts are searched
BEST = 5  # matches that are looked at exactly
WIDER = 1.25  # the common box, relative to the largest training mask
LARGER = 0.25  # share of the training masks from which on frames count as parts
FLOOR_SEED = 0  # the parts that give the floor are always the same


@dataclass(frozen=True, eq=False)
class Gallery:
    """Training masks, made ready for many comparisons with masks of `shape`."""

    training: tuple[Mask, ...]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, training: Sequence[Mask], shape_voxels: Sequence[int] | None = None) -> Gallery:
        """Return a gallery; without a frame, masks are compared as a whole."""
        largest = np.max([mask.shape for mask in training], axis=0)
        return cls(
            tuple(training), tuple(int(n) for n in (largest if shape_voxels is None else shape_voxels))
        )

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The foreground labels of the training masks."""
        return tuple(sorted({int(n) for mask in self.training for n in np.unique(mask)} - {0}))

    @cached_property
    def in_parts(self) -> bool:
        """Whether the frame shows only a part of many a training mask."""
        boxes = [box for box in map(box_of, self.training) if box]
        larger = [any(n > m for n, m in zip(box[1], self.shape, strict=True)) for box in boxes]
        return sum(larger) > LARGER * len(larger)

    def novelty(self, mask: Mask, besides: int | None = None) -> float:
        """Return 1 - the largest mean Dice over labels to any training mask (other than number `besides`)."""
        dice = self._parts(mask, besides) if self.in_parts else self._whole(mask, besides)
        return float(1 - dice.max(initial=0.0))

    def floor(self) -> tuple[float, float]:
        """Return the 1st and 25th percentile of the novelty of each training mask beside all the others."""
        generator = np.random.default_rng(FLOOR_SEED)
        found = [
            self.novelty(_part(mask, self.shape, generator) if self.in_parts else mask, besides=i)
            for i, mask in enumerate(self.training)
        ]
        p1, p25 = np.percentile(found, (1, 25))
        return float(p1), float(p25)

    # ------------------------------------------------------------------------------------------ whole masks

    @cached_property
    def _box(self) -> tuple[int, ...]:
        sizes = [box[1] for box in map(box_of, self.training) if box] or [self.shape]
        return tuple(ceil(n * WIDER) for n in np.max(sizes, axis=0))

    @cached_property
    def _cuts(self) -> tuple[Mask, ...]:
        return tuple(self._centred(mask) for mask in self.training)

    @cached_property
    def _coarse(self) -> Maps:
        """The training masks, centred, as shares of each label on a coarse grid: (n, labels, cells)."""
        factor = ceil(max(self._box) / CELLS[len(self._box)])
        return np.stack(
            [_pooled(mask, self.labels, factor).reshape(len(self.labels), -1) for mask in self._cuts]
        )

    def _centred(self, mask: Mask) -> Mask:
        """Return a mask in the common box, its centroid in the middle."""
        voxels = np.argwhere(mask)
        # the offset keeps a centroid half way between two voxels on one side, wherever the mask lies
        centre = np.floor(voxels.mean(0) + 0.5 + 1e-6) if len(voxels) else np.zeros(mask.ndim)
        return cut(mask, [int(c) - n // 2 for c, n in zip(centre, self._box, strict=True)], self._box)

    def _whole(self, mask: Mask, besides: int | None) -> Array:
        """Return the Dice to the most similar training masks."""
        centred, factor = self._centred(mask), ceil(max(self._box) / CELLS[mask.ndim])
        one = _pooled(centred, self.labels, factor).reshape(len(self.labels), -1)
        shared = np.einsum("nlc,lc->nl", self._coarse, one)
        similar = np.argsort(-_mean_dice(shared, (one**2).sum(-1), (self._coarse**2).sum(-1)))
        nearest = [int(i) for i in similar if i != besides][:BEST]
        return np.array([_dice(centred, self._cuts[i], self.labels) for i in nearest])

    # ------------------------------------------------------------------------------------------------ parts

    @cached_property
    def _factor(self) -> int:
        return max(max(self.shape) // PART_CELLS[len(self.shape)], 1)

    @cached_property
    def _edge(self) -> int:
        """Background around a training mask, so that a part may hang over its edge by half a frame."""
        return self._factor * ceil(max(self.shape) / 2 / self._factor)

    @cached_property
    def _searched(self) -> list[tuple[NDArray[np.complex64], tuple[int, ...], Maps]]:
        """For every training mask: its spectrum, the sizes of the transform, the energy under each place."""
        window = np.ones((1, *(ceil(n / self._factor) for n in self.shape)), np.float32)
        found = []
        for mask in self.training:
            coarse = _pooled(np.pad(mask, self._edge), self.labels, self._factor)
            sizes = tuple(next_fast_len(n, real=True) for n in coarse.shape[1:])
            pairs = zip(coarse.shape[1:], window.shape[1:], strict=True)
            places = tuple(slice(0, n - m + 1) for n, m in pairs)
            energy = _correlated(rfftn(coarse**2, sizes, _axes(coarse)), window, sizes)
            found.append((rfftn(coarse, sizes, _axes(coarse)), sizes, energy[(slice(None), *places)]))
        return found

    def _parts(self, mask: Mask, besides: int | None) -> Array:
        """Return the Dice to the best parts of the training masks."""
        one = _pooled(mask, self.labels, self._factor)
        matches = [(*self._best(one, i), i) for i in range(len(self.training)) if i != besides]
        best = sorted(matches, reverse=True)[:BEST]
        return np.array([self._exact(mask, i, place) for _, place, i in best])

    def _best(self, one: Maps, index: int) -> tuple[float, tuple[int, ...]]:
        """Return the best coarse Dice to parts of a training mask, and the first voxel of that part."""
        spectrum, sizes, energy = self._searched[index]
        shared = _correlated(spectrum, one, sizes)[tuple(slice(0, n) for n in energy.shape)]
        own = (one**2).sum(_axes(one), keepdims=True)
        dice = _mean_dice(*(np.moveaxis(part, 0, -1) for part in (shared, own, energy)))
        place = np.unravel_index(int(dice.argmax()), dice.shape)
        return float(dice.max()), tuple(int(n) * self._factor - self._edge for n in place)

    def _exact(self, mask: Mask, index: int, place: tuple[int, ...]) -> float:
        """Return the best Dice to parts of a training mask within a coarse cell of a place."""
        low, size = [n - self._factor for n in place], [n + 2 * self._factor for n in self.shape]
        around = cut(self.training[index], low, size)
        counts = [_overlaps(around == n, mask == n) for n in self.labels]
        return float(_mean_dice(*(np.stack(part, axis=-1) for part in zip(*counts, strict=True))).max())


def novelty(mask: Mask, training: Sequence[Mask]) -> float:
    """Return 1 - the largest Dice (mean over labels) to any training mask; a `Gallery` does this for many."""
    return Gallery.of(training, mask.shape).novelty(mask)


def novelty_floor(training: Sequence[Mask], shape_voxels: Sequence[int] | None = None) -> tuple[float, float]:
    """Return the 1st and 25th percentile of how new training masks are beside each other."""
    return Gallery.of(training, shape_voxels).floor()


def _mean_dice(shared: NDArray[np.floating], one: NDArray[np.floating], other: NDArray[np.floating]) -> Array:
    """Return the mean over the last axis (labels); a label that neither has does not count."""
    both = np.asarray(one + other, np.float64)
    there = both > 1e-3
    dice = np.where(there, 2 * shared / np.maximum(both, 1e-3), 0.0)
    return np.asarray(dice.sum(-1) / np.maximum(there.sum(-1), 1))


def _dice(one: Mask, other: Mask, labels: Sequence[int]) -> float:
    counts = [
        (
            np.count_nonzero((one == n) & (other == n)),
            np.count_nonzero(one == n),
            np.count_nonzero(other == n),
        )
        for n in labels
    ]
    return float(_mean_dice(*np.array(counts, float).T))


def _overlaps(around: NDArray[np.bool_], part: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """Return, for every place of a part, the voxels that both have, that it has, that lie under it."""
    turned = part[(slice(None, None, -1),) * part.ndim].astype(float)
    shared = np.rint(fftconvolve(around.astype(float), turned, "valid"))
    under = np.rint(fftconvolve(around.astype(float), np.ones(part.shape), "valid"))
    return shared, np.full(shared.shape, float(part.sum())), under


def _pooled(mask: Mask, labels: Sequence[int], factor: int) -> Maps:
    """Return the share of each label in blocks of `factor` voxels: (labels, *blocks)."""
    padded = np.pad(mask, [(0, -n % factor) for n in mask.shape])
    blocks = padded.reshape([m for n in padded.shape for m in (n // factor, factor)])
    inner = tuple(range(1, 2 * mask.ndim, 2))
    return np.stack([(blocks == label).mean(inner, dtype=np.float32) for label in labels])


def _correlated(spectrum: NDArray[np.complex64], part: Maps, sizes: tuple[int, ...]) -> Maps:
    """Return the sum of products at every shift of a part over maps with this spectrum."""
    product = spectrum * np.conj(rfftn(part, sizes, _axes(part)))
    return np.asarray(irfftn(product, sizes, _axes(part)), np.float32)


def _axes(maps: Maps) -> tuple[int, ...]:
    return tuple(range(1, maps.ndim))


def _part(mask: Mask, shape: tuple[int, ...], generator: np.random.Generator) -> Mask:
    """Return a part of a mask around a labelled voxel, within the mask where it is large enough."""
    voxels = np.argwhere(mask)
    centre = voxels[generator.integers(len(voxels))] if len(voxels) else np.array(mask.shape) // 2
    first = []
    for c, n, m in zip(centre.tolist(), shape, mask.shape, strict=True):
        first.append(min(max(c - n // 2, min(0, m - n)), max(0, m - n)))
    return cut(mask, first, shape)
