"""Procedural growth by Gray-Scott reaction-diffusion: the control arm, with no real or learnt shape in it.

The sources give numbers only: how much is labelled, in how many pieces of which thickness and length, and how
the labels share it. Labels: with many pieces, whole pieces are dealt out; else the growth is cut across its
longest axis. Either way by the labels' shares in a source.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, pi
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import distance_transform_edt

from medunet.config.base import Record
from medunet.shapes.facts import Region, pieces_of
from medunet.shapes.family import Family, Mask, NewMask, Refused, box_of
from medunet.shapes.fields import EDGE_NODES, draw_nodes, spread, steps_of
from medunet.shapes.reaction import Map, grown

UNCHANGED = False
Preset = Literal["cells", "vessels", "organ"]

FEED_KILL: dict[str, tuple[float, float]] = {
    "cells": (0.0367, 0.0649),  # spots that divide
    "vessels": (0.046, 0.063),  # worms that branch
    "organ": (0.04, 0.055),  # a front that fills what it passes
}
THICK_CELLS = {"cells": 7.0, "vessels": 5.0, "organ": 8.0}  # of what grows, on the grid
STEPS = {"cells": (200, 1500), "vessels": (300, 1500), "organ": (20, 600)}
SOWN = {"cells": 0.7, "vessels": 0.7, "organ": 0.4}  # of the labelled share, that seeds would grow to at once
VISIBLE = 0.15  # v of what counts as grown
FAINTEST = 0.03  # v that a border may run at
MANY = 3  # pieces in the usual training mask, from which it is a mask of objects
WINDING = 12.0  # labelled voxels in units of a ball as thick as the mask, from which it is one of vessels
KILL_NOISE = 0.0015  # root mean square, so that fronts are not round
APART_CELLS = 5  # between seeds


class Options(Record):
    """What grows."""

    preset: Preset | None = None  # None: from the sources: many pieces: cells; long and thin: vessels; organ
    thickness_mm: float | None = Field(None, gt=0)  # of spots, worms or the organ; None: as in the sources
    jitter: float = Field(0.15, ge=0, le=0.5)  # of the labelled share, relative to a source's


@dataclass(frozen=True)
class Look:
    """What training masks look like, in numbers; mm."""

    pieces: float
    thickness_mm: float
    length_mm: float
    winding: float

    @property
    def preset(self) -> Preset:
        """What growth resembles them."""
        if self.winding >= WINDING:
            return "vessels"
        return "cells" if self.pieces > MANY else "organ"


@lru_cache(maxsize=4)
def look_of(family: Family) -> Look:
    """Measure the windows of a family: medians over windows with a label."""
    found = np.array([_measured(w > 0, family.spacing_mm) for w in family.windows if w.any()])
    return Look(*(float(n) for n in np.median(found, axis=0)))


def _measured(region: Region, spacing_mm: tuple[float, ...]) -> tuple[float, float, float, float]:
    low, size = box_of(region.view(np.uint8)) or ((), ())
    box = np.pad(region[tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))], 1)
    depth = distance_transform_edt(box, spacing_mm)
    numbered, sizes = pieces_of(box)
    deepest = np.array([depth[numbered == n].max() for n in range(1, len(sizes))])
    ball = pi ** (box.ndim / 2) / (1.0 if box.ndim == 2 else 0.75 * pi**0.5) * deepest**box.ndim
    winding = float(np.median(sizes[1:] * np.prod(spacing_mm) / ball))
    # a ribbon is on average a quarter as deep as it is wide; a ball's radius is its largest depth
    thick = 4 * float(depth[box].mean()) if winding >= WINDING else 2 * float(np.median(deepest))
    length = float(max(n * mm for n, mm in zip(size, spacing_mm, strict=True)))
    return len(sizes) - 1.0, thick, length, winding


def draw(options: Options, family: Family, generator: np.random.Generator) -> NewMask:
    """Return a growth that covers as much as a window of a source does."""
    look = look_of(family)
    preset = options.preset or look.preset
    cell_mm = max((options.thickness_mm or look.thickness_mm) / THICK_CELLS[preset], min(family.spacing_mm))
    shown = [window for window in family.windows if window.any()]
    model = shown[int(generator.integers(len(shown)))]
    factor = float(generator.uniform(1 - options.jitter, 1 + options.jitter))
    share = min(factor * np.count_nonzero(model) / model.size, 0.9)
    feed, kill = FEED_KILL[preset]
    grid = _Grid(tuple(cell_mm / mm for mm in family.spacing_mm), family.shape)
    seeds = _sown(preset, grid, share, max(look.length_mm / cell_mm - THICK_CELLS[preset], 0.0), generator)
    steps = steps_of(2 * THICK_CELLS[preset], (1.0,) * len(grid.cells))
    noise = spread(draw_nodes(generator, 1, grid.cells, steps), grid.cells, steps)[0]
    kills = (kill + KILL_NOISE * (preset == "organ") * noise).astype(np.float32)
    _, v, taken = grown(seeds, feed, kills, STEPS[preset], lambda v: grid.share(v) >= share)
    region, border = _cut_at(grid.frame(v), share)
    mask = _labelled(region, model, preset == "organ" or look.pieces <= MANY, generator)
    facts = {"preset": preset, "feed": feed, "kill": kill, "steps": taken, "cell_mm": cell_mm}
    return NewMask(mask, (), facts | {"share": share, "border": border})


@dataclass(frozen=True)
class _Grid:
    """A grid of isotropic cells that covers the frame and a margin around it."""

    steps_voxels: tuple[float, ...]  # edge of a cell, per axis
    shape: tuple[int, ...]

    margin = 6  # cells, so that what grows beyond the frame's edge is cut by it

    @property
    def cells(self) -> tuple[int, ...]:
        return tuple(
            ceil(n / step) + 2 * self.margin for n, step in zip(self.shape, self.steps_voxels, strict=True)
        )

    def share(self, v: Map) -> float:
        """The share of the frame where v is visible."""
        return float((v[(slice(self.margin, -self.margin),) * v.ndim] > VISIBLE).mean())

    def frame(self, v: Map) -> Map:
        """Return v at the voxels of the frame."""
        cut = self.margin - EDGE_NODES
        nodes = v[(slice(cut, -cut or None),) * v.ndim]
        return spread(nodes[None].astype(np.float64), self.shape, self.steps_voxels)[0].astype(np.float32)


def _sown(
    preset: Preset, grid: _Grid, share: float, length_cells: float, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Return where v is sown: along a bent line in the frame (organ), else at places apart from each other."""
    cells = grid.cells
    inner = np.array(cells) - 2 * grid.margin
    if preset == "organ":
        points = _line(inner, length_cells, generator) + grid.margin
    else:
        spot = pi / 4 * THICK_CELLS[preset] ** 2 if len(cells) == 2 else pi / 6 * THICK_CELLS[preset] ** 3
        wanted = max(round(SOWN[preset] * share * float(np.prod(cells)) / spot), 1)
        points = _apart(cells, wanted, generator)
    seeds = np.zeros(cells, bool)
    for point in np.clip(np.round(points).astype(int), 0, np.array(cells) - 1):
        seeds[tuple(slice(max(p - 2, 0), p + 3) for p in point)] = True
    return seeds


def _line(inner: NDArray[np.int64], length: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return points (n, d) on a smooth random line of a length in cells, in the middle of the frame."""
    dims = len(inner)
    # a direction along which the line has room
    way = generator.standard_normal(dims) * (inner / inner.max()) ** 2
    way /= np.linalg.norm(way)
    length = min(length, 0.8 * float((inner / np.maximum(np.abs(way), 1e-6)).min()))
    along = np.linspace(-0.5, 0.5, max(ceil(length / 2), 1) + 1)
    sway = generator.standard_normal(dims) * 0.25
    middle = (inner - 1) / 2 + generator.uniform(-0.06, 0.06, dims) * inner
    return np.asarray(middle + length * (along[:, None] * way + (along[:, None] ** 2 - 1 / 12) * sway))


def _apart(cells: tuple[int, ...], wanted: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return up to so many places (n, d) that keep their distance."""
    tried = generator.uniform(0, 1, (8 * wanted, len(cells))) * np.array(cells)
    kept = [tried[0]]
    for place in tried[1:]:
        if len(kept) < wanted and np.abs(np.array(kept) - place).max(1).min() > APART_CELLS:
            kept.append(place)
    return np.array(kept)


def _cut_at(v: Map, share: float) -> tuple[Region, float]:
    """Return where v is above the level that leaves the wanted share, and that level."""
    border = float(np.quantile(v, 1 - share))
    if border < FAINTEST:
        raise Refused(f"the growth covers {(v > FAINTEST).mean():.0%} of the frame, expected {share:.0%}")
    return v > border, border


def _labelled(region: Region, model: Mask, across: bool, generator: np.random.Generator) -> Mask:
    """Give labels to a growth, in the shares that they have in a source."""
    counts = np.bincount(model[model > 0])
    labels = np.flatnonzero(counts)
    bounds = np.cumsum(counts[labels])[:-1] / counts.sum()
    numbered, sizes = pieces_of(region)
    out = np.zeros(region.shape, np.uint8)
    if across:
        where = np.argwhere(region)
        offset = where - where.mean(0)
        axis = np.linalg.eigh(offset.T @ offset)[1][:, -1]
        rank = np.argsort(np.argsort(offset @ axis)) / len(where)
        out[region] = labels[np.searchsorted(bounds, rank, side="right")]
        return out
    order = generator.permutation(len(sizes) - 1) + 1
    rank = np.concatenate([[0.0], np.cumsum(sizes[order])[:-1] / sizes[1:].sum()])
    given = np.zeros(len(sizes), np.uint8)
    given[order] = labels[np.searchsorted(bounds, rank, side="right")]
    return np.asarray(given[numbered])
