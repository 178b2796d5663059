"""Many objects laid out anew: pieces of several training masks, turned, resized, bent, without overlap.

How many there are, and how large, follows a window of one training mask; which pieces, and where, does not.
For cells and other masks of many small objects.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field

from medunet.config.base import Record
from medunet.shapes.facts import Region
from medunet.shapes.family import Family, NewMask, Refused, cut
from medunet.shapes.pieces import free_at, grown, pieces_in, pool_of, put, varied
from medunet.shapes.repair import EVERY_FACT

JUDGED_BY = EVERY_FACT
PLACES = 60  # looked at for one object
WIDEST_EDGE = 24  # voxels around the frame, where objects lie that its edge cuts


class Options(Record):
    """How a layout is varied."""

    count: tuple[float, float] = (0.8, 1.2)  # objects, relative to the window that gives the law
    scale: tuple[float, float] = (0.85, 1.15)  # diameter of an object, relative to the one it stands for
    touching: float = Field(0.15, ge=0, le=1)  # share of the objects that are pushed against another
    rotate_degrees: float = Field(180.0, ge=0, le=180)  # of an object, either way


def draw(options: Options, family: Family, generator: np.random.Generator) -> NewMask:
    """Return a new layout."""
    home = family.draw(generator)
    wanted, edge = _law(family, home, options, generator)
    canvas = np.zeros(tuple(n + 2 * edge for n in family.shape), np.uint8)
    parents = {family.sources[home].identity: None}
    centres: list[tuple[int, ...]] = []
    for label, voxels in wanted:
        piece = pool_of(family, label).like(voxels, generator)
        factor = float(generator.uniform(*options.scale)) ** canvas.ndim
        region = varied(piece, voxels * factor, options.rotate_degrees, family.spacing_mm, generator)
        low = _place(canvas > 0, region, generator)
        if low is None:
            continue
        if centres and generator.random() < options.touching:
            low = _pushed(canvas > 0, region, low, centres[int(generator.integers(len(centres)))])
        put(canvas, region, low, label)
        centres.append(tuple(a + n // 2 for a, n in zip(low, region.shape, strict=True)))
        parents[piece.identity] = None
    mask = cut(canvas, (edge,) * canvas.ndim, family.shape)
    facts = {"law": family.sources[home].identity, "wanted": len(wanted), "placed": len(centres)}
    return NewMask(mask, tuple(parents), facts)


def _law(
    family: Family, home: int, options: Options, generator: np.random.Generator
) -> tuple[list[tuple[int, int]], int]:
    """Return label and voxels of every object wanted, largest first, and how far off the frame some lie."""
    source = family.sources[home]
    every = [(label, piece) for label in family.labels for piece in pieces_in(source, label)]
    middle = float(np.median([max(piece.region.shape) for _, piece in every]))
    edge = int(min(middle, WIDEST_EDGE))
    low = [f - edge for f in family.window(home, generator)]
    high = [f + n + 2 * edge for f, n in zip(low, family.shape, strict=True)]
    seen = [(label, piece.voxels) for label, piece in every if _meets(piece.region, piece.low, low, high)]
    count = max(round(len(seen) * float(generator.uniform(*options.count))), 1)
    if not seen:
        raise Refused("the window that should give the number of objects has none")
    order = generator.permutation(len(seen))
    chosen = [seen[order[i % len(seen)]] for i in range(count)]
    return sorted(chosen, key=lambda one: -one[1]), edge


def _meets(region: Region, start: Sequence[int], low: Sequence[int], high: Sequence[int]) -> bool:
    """Whether the centre of a piece's box lies in a window."""
    centre = [a + n / 2 for a, n in zip(start, region.shape, strict=True)]
    return all(a <= c < b for a, c, b in zip(low, centre, high, strict=True))


def _place(taken: Region, region: Region, generator: np.random.Generator) -> tuple[int, ...] | None:
    """Return the first voxel of a free place, a voxel away from all others; None: there was none."""
    wide = grown(region)
    half = np.array(wide.shape) // 2
    for centre in generator.integers(0, taken.shape, (PLACES, taken.ndim)):
        low = centre - half
        if free_at(taken, wide, [int(n) for n in low]):
            return tuple(int(n) + 1 for n in low)
    return None


def _pushed(taken: Region, region: Region, low: tuple[int, ...], towards: tuple[int, ...]) -> tuple[int, ...]:
    """Return the last free place on the way to another object: there they touch."""
    start = np.array(low, float)
    way = np.array(towards) - (start + np.array(region.shape) / 2)
    steps = max(int(np.abs(way).max()), 1)
    for step in range(1, steps + 1):
        there = tuple(int(n) for n in np.round(start + way * step / steps))
        if not free_at(taken, region, there):
            return low
        low = there
    return low
