"""Training patches as a pure function of (seed, position): nothing to save for resume, no worker to reseed.

Position p of the stream is patch p of the training, whatever the number of threads, processes or restarts.
With synthetic cases it is a function of (seed, position, share): `share` of the patches are synthetic. The
others are bit for bit those of a training without synthetic cases, which makes that one a fair control.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medunet.config.recipe import Augmentation
from medunet.data.augment import Variation, draw, source_box, vary_intensity, vary_space
from medunet.data.cache import Entry

MOST_OPEN = 256  # memory maps kept open
Arrays = tuple[NDArray[np.float16], NDArray[np.uint8], NDArray[np.int32]]  # image, mask, foreground points


def _none(_: int) -> float:
    return 0.0


@dataclass
class PatchSource:
    """Draws patches from cached cases.

    patch_voxels is what the network puts out; margin_voxels is added on each side of the image (unpadded
    networks), mirrored where the image ends.
    """

    entries: Sequence[Entry]
    patch_voxels: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    augmentation: Augmentation
    foreground: float
    seed: int
    margin_voxels: tuple[int, ...] = ()
    mirror_pairs: tuple[tuple[int, int], ...] = ()
    synthetic: Sequence[Entry] = ()
    _open: dict[Path, Arrays] = field(default_factory=dict)

    def patch(self, position: int, share: float = 0.0) -> tuple[Tensor, ...]:
        """Return patch `position`: image (C, *patch + 2 margins) float32 and mask (*patch) int64.

        share: of patches that are synthetic, 0 to 0.5.
        """
        generator = np.random.default_rng((self.seed, position))
        image, mask, points = self._case(position, share)
        centre = self._centre(generator, mask.shape, points)
        variation = draw(generator, self.augmentation, self.spacing_mm, len(image))
        margin = self.margin_voxels or (0,) * mask.ndim
        outer = tuple(n + 2 * m for n, m in zip(self.patch_voxels, margin, strict=True))
        box_image, box_mask = cut(image, mask, *source_box(centre, outer, variation.matrix))
        return self._varied(box_image, box_mask, variation, outer, margin)

    def _varied(
        self,
        image: Tensor,
        mask: Tensor,
        variation: Variation,
        outer: tuple[int, ...],
        margin: tuple[int, ...],
    ) -> tuple[Tensor, Tensor]:
        image, mask = vary_space(image, mask, variation, outer, self.mirror_pairs)
        inner = tuple(slice(m, n - m) for m, n in zip(margin, outer, strict=True))
        return vary_intensity(image, variation).contiguous(), mask[inner].long().contiguous()

    def case_index(self, position: int, *, synthetic: bool = False) -> int:
        """Return the case of a position: every case once per round, in an order drawn for the round."""
        count = len(self.synthetic if synthetic else self.entries)
        turn, place = divmod(position, count)
        order = np.random.default_rng((self.seed, 3 if synthetic else 1, turn)).permutation(count)
        return int(order[place])

    def is_synthetic(self, position: int, share: float) -> bool:
        """Say whether a patch is synthetic. Of two neighbours at most one is, so of a batch at most half.

        (Of a batch of an odd size half, rounded up.)
        """
        if not self.synthetic or share <= 0:
            return False
        pair, place = divmod(position, 2)
        drawn = np.random.default_rng((self.seed, 2, pair + 1)).random()  # one of a pair: 2 * share
        return bool(drawn < share) if place == 0 else bool(share <= drawn < 2 * share)

    def _case(self, position: int, share: float) -> Arrays:
        synthetic = self.is_synthetic(position, share)
        entry = (self.synthetic if synthetic else self.entries)[
            self.case_index(position, synthetic=synthetic)
        ]
        found = self._open.get(entry.folder)
        if found is None:
            if len(self._open) >= MOST_OPEN:
                self._open.clear()
            found = self._open[entry.folder] = (entry.image, entry.mask, entry.foreground)
        return found

    def _centre(
        self, generator: np.random.Generator, shape: Sequence[int], points: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """Return the centre of a patch in voxels: on a labelled voxel of a drawn label, or anywhere."""
        wants_label = generator.random() < self.foreground
        if wants_label and len(points):
            label = generator.choice(np.unique(points[:, 0]))
            rows = points[points[:, 0] == label]
            point = rows[generator.integers(len(rows)), 1:].astype(float)
        else:
            point = generator.uniform(0, np.asarray(shape) - 1)
        return _inside(point, shape, self.patch_voxels)


def _inside(point: NDArray[np.float64], shape: Sequence[int], patch: Sequence[int]) -> NDArray[np.float64]:
    """Move a centre so that the patch stays inside the image, or is centred where the image is smaller."""
    size, edge = np.asarray(shape, float), np.asarray(patch, float)
    low, high = (edge - 1) / 2, size - 1 - (edge - 1) / 2
    middle = (size - 1) / 2
    moved = np.where(low <= high, np.clip(point, low, np.maximum(low, high)), middle)
    first = np.floor(moved - (edge - 1) / 2 + 1e-6)  # whole voxels, so that unturned patches are plain cuts
    return np.asarray(first + (edge - 1) / 2)


def cut(
    image: NDArray[np.float16], mask: NDArray[np.uint8], first: Sequence[int], shape: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Return the box from voxel `first`: (C, *shape) float32 and (*shape) uint8; edges are mirrored."""
    size = mask.shape
    inside = [(max(0, f), min(n, f + s)) for f, s, n in zip(first, shape, size, strict=True)]
    where = tuple(slice(a, max(a, b)) for a, b in inside)
    before = [a - f for (a, _), f in zip(inside, first, strict=True)]
    after = [f + s - max(a, b) for (a, b), f, s in zip(inside, first, shape, strict=True)]
    part = np.asarray(image[(slice(None), *where)], np.float32)
    labels = np.array(mask[where])  # a copy: the cache is read-only
    if any(before) or any(after):
        pads = list(zip(before, after, strict=True))
        part = np.pad(part, [(0, 0), *pads], mode="symmetric")
        labels = np.pad(labels, pads, mode="symmetric")
    return torch.from_numpy(np.ascontiguousarray(part)), torch.from_numpy(np.ascontiguousarray(labels))


@dataclass
class Batches:
    """A stream of batches that starts at any step, prepared ahead by threads."""

    source: PatchSource
    batch_size: int
    rank: int = 0
    ranks: int = 1
    workers: int = 1
    share: Callable[[int], float] = _none  # batch number -> share of synthetic patches

    def starting_at(self, batch: int) -> Iterator[tuple[Tensor, ...]]:
        """Yield batches (images (B, C, *patch), masks (B, *patch), ...) from number `batch` on, for ever."""
        if self.workers == 0:
            while True:
                yield self._batch(batch)
                batch += 1
        ahead: list[Future[tuple[Tensor, ...]]] = []
        with ThreadPoolExecutor(
            self.workers, "patches", initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            try:
                while True:
                    while len(ahead) < 2 * self.workers + 1:
                        ahead.append(pool.submit(self._batch, batch))
                        batch += 1
                    yield ahead.pop(0).result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _batch(self, batch: int) -> tuple[Tensor, ...]:
        first = (batch * self.ranks + self.rank) * self.batch_size
        share = self.share(batch)
        patches = [self.source.patch(first + i, share) for i in range(self.batch_size)]
        return tuple(torch.stack(parts) for parts in zip(*patches, strict=True))
