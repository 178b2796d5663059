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

JUDGED_BY = ("volume_ml",)  # pieces and holes of real masks are not asked of the control arm
Preset = Literal["cells", "vessels", "organ"]

FEED_KILL: dict[str, tuple[float, float]] = {
    "cells": (0.0367, 0.0649),  # spots that divide
    "vessels": (0.046, 0.063),  # worms that branch
    "organ": (0.04, 0.055),  # a front that fills what it passes
}
THICK_CELLS = {"cells": 7.0, "vessels": 5.0, "organ": 8.0}  # of what grows, on the grid
STEPS = {"cells": (120, 900), "vessels": (60, 900), "organ": (20, 600)}
LEVELS = {"cells": (0.3, 0.7), "vessels": (0.08, 0.2), "organ": (0.15, 0.6)}  # where a border may run
KILL_NOISE = {
    "cells": 0.0005,
    "vessels": 0.0005,
    "organ": 0.004,
}  # root mean square: fronts that are not round
VISIBLE = 0.12  # v of what counts as grown
SHAKE = 0.06  # of the frame: how far an organ lies off its middle
SEED_CELLS = {"cells": 5, "vessels": 3, "organ": 5}  # width
SOWN = {"cells": 0.9, "vessels": 0.7}  # of the labelled share, that seeds grow to at once
OFF = 1.4  # factor between the share that is wanted and the one that has grown
MANY = 3  # pieces in the usual training mask, from which it is a mask of objects
WINDING = 12.0  # labelled voxels in units of a ball as thick as the mask, from which it is one of vessels
APART_CELLS = 11  # between spots: closer ones starve each other
DENSE = 0.006  # less kill where half of the frame is to be covered: spots grow instead of dividing
MEASURED = 32  # sources
PLACES = 400  # tried for seeds


class Options(Record):
    """What grows."""

    preset: Preset | None = None  # None: from the sources: many pieces: cells; long and thin: vessels; organ
    thickness_mm: float | None = Field(None, gt=0)  # of spots, worms or the organ; None: as in the sources
    jitter: float = Field(0.15, ge=0, le=0.5)  # of the labelled share, relative to a source's


@dataclass(frozen=True)
class Look:
    """What training masks look like, in numbers; mm."""

    pieces: float
    length_mm: float
    winding: float
    thicknesses_mm: tuple[float, ...]  # of the masks; the other numbers are medians over them

    @property
    def preset(self) -> Preset:
        """What growth resembles them."""
        if self.winding >= WINDING:
            return "vessels"
        return "cells" if self.pieces > MANY else "organ"


@lru_cache(maxsize=4)
def look_of(family: Family) -> Look:
    """Measure some labelled sources of a family."""
    some = [family.sources[i].mask > 0 for i in family.labelled[:: max(len(family.labelled) // MEASURED, 1)]]
    found = np.array([_measured(mask, family.spacing_mm) for mask in some])
    pieces, length, winding = (float(n) for n in np.median(found[:, :3], axis=0))
    return Look(pieces, length, winding, tuple(float(n) for n in found[:, 3]))


def _measured(region: Region, spacing_mm: tuple[float, ...]) -> tuple[float, float, float, float]:
    low, size = box_of(region.view(np.uint8)) or ((), ())
    box = np.pad(region[tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))], 1)
    depth = distance_transform_edt(box, spacing_mm)
    numbered, sizes = pieces_of(box)
    deepest = np.array([depth[numbered == n].max() for n in range(1, len(sizes))])
    balls = np.array([_ball(float(radius), box.ndim) for radius in deepest])
    order = np.argsort(sizes[1:])
    # the piece that the middle one of all labelled voxels lies in: specks do not count
    usual = order[np.searchsorted(np.cumsum(sizes[1:][order]), sizes[1:].sum() / 2)]
    winding = float(sizes[1:][usual] * np.prod(spacing_mm) / balls[usual])
    # a ribbon is on average a quarter as deep as it is wide; a ball's radius is its largest depth
    thick = 4 * float(depth[box].mean()) if winding >= WINDING else 2 * float(np.median(deepest))
    length = float(max(n * mm for n, mm in zip(size, spacing_mm, strict=True)))
    return len(sizes) - 1.0, length, winding, thick


def draw(options: Options, family: Family, generator: np.random.Generator) -> NewMask:
    """Return a growth that covers as much as a window of a source does."""
    look = look_of(family)
    preset = options.preset or look.preset
    thick_mm = options.thickness_mm or float(generator.choice(look.thicknesses_mm))
    cell_mm = max(thick_mm / THICK_CELLS[preset], min(family.spacing_mm))
    grid = _Grid(tuple(cell_mm / mm for mm in family.spacing_mm), family.shape)
    spot = _ball(THICK_CELLS[preset] / 2, len(grid.cells)) * float(np.prod(grid.steps_voxels))
    model = _model(family, spot / 2, generator)
    factor = float(generator.uniform(1 - options.jitter, 1 + options.jitter))
    share = min(factor * np.count_nonzero(model) / model.size, 0.9)
    length = max(look.length_mm / cell_mm - THICK_CELLS[preset], 0.0)
    seeds = _sown(preset, grid, share, length, generator)
    feed, kill = FEED_KILL[preset]
    steps = steps_of(THICK_CELLS[preset], (1.0,) * len(grid.cells))
    noise = spread(draw_nodes(generator, 1, grid.cells, steps), grid.cells, steps)[0]
    kill -= DENSE * float(np.clip((share - 0.15) / 0.35, 0, 1)) * (preset == "cells")
    kills = (kill + KILL_NOISE[preset] * noise).astype(np.float32)
    u, v, taken = grown(seeds, feed, kills, STEPS[preset], lambda v: grid.share(v) >= share)
    # behind a front v sinks again, while the food stays eaten: 1 - u has no rings
    region, border = _cut_at(grid.frame(v if preset == "vessels" else 1 - u), share, LEVELS[preset])
    mask = _labelled(region, model, preset == "organ" or look.pieces <= MANY, generator)
    facts = {"preset": preset, "feed": feed, "kill": kill, "steps": taken, "cell_mm": cell_mm}
    return NewMask(mask, (), facts | {"share": share, "border": border})


def _model(family: Family, least_voxels: float, generator: np.random.Generator) -> Mask:
    """Draw a window of a source with so much labelled at least; what grows cannot be smaller."""
    labelled = [window for window in family.windows if window.any()]
    large = [window for window in labelled if np.count_nonzero(window) >= least_voxels] or labelled
    return large[int(generator.integers(len(large)))]


def _ball(radius: float, dims: int) -> float:
    return (2 * radius, pi * radius**2, 4 / 3 * pi * radius**3)[dims - 1]


@dataclass(frozen=True)
class _Grid:
    """A grid of isotropic cells that covers the frame and a margin around it."""

    steps_voxels: tuple[float, ...]  # edge of a cell, per axis
    shape: tuple[int, ...]

    margin = 4  # cells, so that the frame cuts what grows at its edge

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
    """Return where v is sown: on one bent line (organ), on many (vessels), at places apart (cells)."""
    cells = grid.cells
    inner = np.array(cells) - 2 * grid.margin
    if preset == "organ":
        points = _line(inner, length_cells, SHAKE, generator) + grid.margin
    elif preset == "vessels":
        across = _ball(THICK_CELLS[preset] / 2, len(cells) - 1)
        wanted = SOWN[preset] * share * float(np.prod(cells)) / across
        lengths = np.diff(np.minimum(np.arange(0.0, wanted + min(cells), min(cells)), wanted))
        points = np.concatenate([_line(np.array(cells), n, 0.5, generator) for n in lengths])
    else:
        points = _apart(preset, grid, share, generator)
    half = SEED_CELLS[preset] // 2
    seeds = np.zeros(cells, bool)
    for point in np.clip(np.round(points).astype(int), 0, np.array(cells) - 1):
        seeds[tuple(slice(max(p - half, 0), p + half + 1) for p in point)] = True
    return seeds


def _line(
    inner: NDArray[np.int64], length: float, shake: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return points (n, d) on a smooth random line of a length in cells, about the middle of the frame."""
    dims = len(inner)
    # a direction along which the line has room
    way = generator.standard_normal(dims) * (inner / inner.max()) ** 2
    way /= np.linalg.norm(way)
    length = min(length, 0.8 * float((inner / np.maximum(np.abs(way), 1e-6)).min()))
    along = np.linspace(-0.5, 0.5, max(ceil(length / 2), 1) + 1)
    sway = generator.standard_normal(dims) * 0.25
    middle = (inner - 1) / 2 + generator.uniform(-shake, shake, dims) * inner
    return np.asarray(middle + length * (along[:, None] * way + (along[:, None] ** 2 - 1 / 12) * sway))


def _apart(preset: Preset, grid: _Grid, share: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return places (n, d) that keep their distance, until what grows there covers the frame's share."""
    cells, thick = np.array(grid.cells), THICK_CELLS[preset]
    inner = cells - 2 * grid.margin
    missing = SOWN[preset] * share * float(np.prod(inner)) / _ball(thick / 2, len(cells))
    kept: list[NDArray[np.float64]] = []
    for place in generator.uniform(0, 1, (PLACES, len(cells))) * cells:
        if missing <= 0:
            break
        if not kept or np.abs(np.array(kept) - place).max(1).min() > APART_CELLS:
            kept.append(place)
            within = np.minimum(place - grid.margin, grid.margin + inner - place)  # of the frame's edges
            missing -= float(np.clip(within / thick + 0.5, 0, 1).prod())
    return np.array(kept)


def _cut_at(growth: Map, share: float, levels: tuple[float, float]) -> tuple[Region, float]:
    """Return where the growth is above the level that leaves the wanted share, and that level."""
    border = float(np.clip(np.quantile(growth, 1 - share), *levels))
    region = growth > border
    if not 1 / OFF <= region.mean() / share <= OFF:
        raise Refused(f"the growth covers {region.mean():.1%} of the frame, expected {share:.1%}")
    return region, border


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
