"""The training masks that new masks descend from, and how a mask comes into a frame of fixed size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from medunet.errors import DataError
from medunet.shapes.repair import Rules, rules_of

Mask = NDArray[np.uint8]
Voxels = tuple[int, ...]

WINDOWS = 4  # looks at a source that is larger than the frame, to learn what windows of it are like


class Refused(Exception):  # noqa: N818 - the answer of one try, not an error: the caller draws again
    """One try gave no mask; the text says which rule refused it."""


@dataclass(frozen=True, eq=False)
class Source:
    """A training mask (X, Y[, Z]) of network labels, 0 = background. It must not change once it is here."""

    mask: Mask
    identity: str


@dataclass(frozen=True, eq=False)
class NewMask:
    """A mask (X, Y[, Z]), the identities of the sources in it, and all that was drawn (plain JSON values)."""

    mask: Mask
    parents: tuple[str, ...]
    facts: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Family:
    """Sources with the frame that new masks have, and what was learnt from them once."""

    sources: tuple[Source, ...]
    shape: Voxels
    spacing_mm: tuple[float, ...]

    @cached_property
    def boxes(self) -> tuple[tuple[Voxels, Voxels] | None, ...]:
        """First voxel and size of the labelled box of every source; None: nothing is labelled."""
        return tuple(box_of(source.mask) for source in self.sources)

    @cached_property
    def labelled(self) -> tuple[int, ...]:
        """Numbers of the sources where anything is labelled."""
        return tuple(i for i, box in enumerate(self.boxes) if box is not None)

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The foreground labels that occur, sorted."""
        found = {int(label) for source in self.sources for label in np.unique(source.mask)}
        return tuple(sorted(found - {0}))

    @cached_property
    def windows(self) -> tuple[Mask, ...]:
        """The sources as this frame shows them; always the same, so that rules do not depend on a draw."""
        generator = np.random.default_rng(0)
        found: list[Mask] = []
        for i, source in enumerate(self.sources):
            mine = [self.cut(i, self.window(i, generator)) for _ in range(1 if self.fits(i) else WINDOWS)]
            for label in sorted(set(np.unique(source.mask)) - {0}):  # a rare one may lie in none of them
                if not any((each == label).any() for each in mine):
                    mine.append(self.cut(i, self._around(i, int(label))))
            found += mine
        return tuple(found)

    @cached_property
    def rules(self) -> Rules:
        """What the training masks have in common, as seen in this frame."""
        return rules_of(self.windows, self.spacing_mm)

    def draw(self, generator: np.random.Generator, besides: int | None = None) -> int:
        """Draw the number of a source with something labelled, other than `besides`."""
        return int(generator.choice([i for i in self.labelled if i != besides]))

    def fits(self, index: int) -> bool:
        """Whether all that is labelled in a source fits into the frame."""
        box = self.boxes[index]
        return box is None or all(n <= room for n, room in zip(box[1], self.shape, strict=True))

    def window(self, index: int, generator: np.random.Generator) -> Voxels:
        """Draw the first voxel of the frame in a source: around all that is labelled, or within it."""
        seed = _labelled_voxel(self.sources[index].mask, generator)
        return tuple(int(generator.integers(low, high + 1)) for low, high in self._places(index, seed))

    def _around(self, index: int, label: int) -> Voxels:
        """Return the first voxel of the frame in whose middle a source has a label."""
        voxels = np.argwhere(self.sources[index].mask == label)
        seed = tuple(int(n) for n in voxels[len(voxels) // 2])
        middles = [n - room // 2 for n, room in zip(seed, self.shape, strict=True)]
        pairs = zip(middles, self._places(index, seed), strict=True)
        return tuple(min(max(middle, low), high) for middle, (low, high) in pairs)

    def _places(self, index: int, seed: Voxels) -> list[tuple[int, int]]:
        """Return lowest and highest first voxel of a frame with this voxel, or with all where it fits."""
        mask, box = self.sources[index].mask, self.boxes[index]
        if box is None:
            box = ((0,) * mask.ndim, mask.shape)
        places = []
        for n, room, low, size, centre in zip(mask.shape, self.shape, *box, seed, strict=True):
            around = (low + size - room, low) if size <= room else (centre - room + 1, centre)
            inside = (min(0, n - room), max(0, n - room))
            places.append((max(around[0], inside[0]), min(around[1], inside[1])))
        return places

    def cut(self, index: int, first: Voxels, size: Voxels | None = None) -> Mask:
        """Return a part of a source, with background where it has no voxels."""
        return cut(self.sources[index].mask, first, size or self.shape)

    def canvas(self, index: int, first: Voxels, margin: int) -> tuple[Voxels, Voxels]:
        """Return first voxel and size of the part of a source to work on, when its frame starts at `first`.

        Along an axis where all fits into the frame: the labelled box and a margin; else the frame.
        """
        box = self.boxes[index]
        if box is None:
            return first, self.shape
        axes = zip(first, self.shape, *box, strict=True)
        pairs = [(low - margin, n + 2 * margin) if n <= room else (f, room) for f, room, low, n in axes]
        return tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)

    def framed(self, canvas: Mask, first: Voxels) -> Mask:
        """Return a worked canvas in the frame that starts at `first` of it, moved so that nothing is cut."""
        box = box_of(canvas)
        if box is not None:
            axes = zip(first, self.shape, *box, strict=True)
            first = tuple(min(max(f, low + n - room), low) if n <= room else f for f, room, low, n in axes)
        return cut(canvas, first, self.shape)


@lru_cache(maxsize=4)  # 1,000 masks come from one family: its rules are learnt once
def family_of(sources: tuple[Source, ...], shape: Voxels, spacing_mm: tuple[float, ...]) -> Family:
    """Return the family, after a check that sources, frame and spacing belong together."""
    family = Family(sources, shape, spacing_mm)
    for source in sources:
        if source.mask.ndim != len(shape) or len(spacing_mm) != len(shape):
            raise DataError(
                f"new masks: source {source.identity} has shape {source.mask.shape}, the frame {shape}, the "
                f"spacing {spacing_mm}: all need the same number of axes. Use sources of one plan."
            )
    if not family.labelled:
        raise DataError(
            f"new masks: nothing is labelled in the {len(sources)} training mask(s), expected a label in at "
            "least one. Check the card's labels."
        )
    return family


def box_of(mask: NDArray[Any]) -> tuple[Voxels, Voxels] | None:
    """Return first voxel and size of the smallest box around all labelled voxels; None: there are none."""
    (box,) = find_objects((mask > 0).view(np.uint8)) or (None,)
    return None if box is None else (tuple(s.start for s in box), tuple(s.stop - s.start for s in box))


def cut(mask: Mask, first: Sequence[int], size: Sequence[int]) -> Mask:
    """Return the part of a mask from voxel `first` on, with background beyond the mask's edges."""
    out = np.zeros(tuple(size), mask.dtype)
    ranges = [(max(f, 0), min(f + n, m)) for f, n, m in zip(first, size, mask.shape, strict=True)]
    if all(low < high for low, high in ranges):
        target = tuple(slice(low - f, high - f) for (low, high), f in zip(ranges, first, strict=True))
        out[target] = mask[tuple(slice(low, high) for low, high in ranges)]
    return out


def _labelled_voxel(mask: Mask, generator: np.random.Generator) -> Voxels:
    """Draw a labelled voxel; the middle where there is none."""
    labelled = np.flatnonzero(mask)
    if not labelled.size:
        return tuple(n // 2 for n in mask.shape)
    return tuple(int(i) for i in np.unravel_index(generator.choice(labelled), mask.shape))
