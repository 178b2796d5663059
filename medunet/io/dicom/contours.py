"""Contours along the edges of pixels, and back: polygons of exactly the area of the pixels that they enclose.

Points are (column, row) in pixels; whole numbers are pixel centres, so edges lie at halves. A pixel at (0, 0)
has the corners (-0.5, -0.5) and (0.5, 0.5). Pixels that touch at a corner only belong to different polygons.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (n, 2)
Ring = list[tuple[int, int]]  # corners of pixels: corner (x, y) is the upper left one of pixel (x, y)

# The four edges of a pixel in walking order with the pixel on the right hand (y grows downwards): top, right,
# bottom, left. START is the corner where an edge begins, AHEAD the next pixel, OUTSIDE the one beyond.
START = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
AHEAD = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
OUTSIDE = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])
SNAP = 0.02  # pixels: a point this near to a pixel centre is meant to lie on it


def trace(labels: NDArray[Any]) -> list[tuple[int, Points]]:
    """Return the polygons of a slice (columns, rows) of labels as (label, points); 0 is background.

    Each connected region is one closed polygon; holes are cut in by a channel of no width (PS3.3 C.8.8.6.3).
    """
    padded = np.pad(labels, 1)
    edges = _edges(padded)
    if not edges.shape[1]:
        return []
    number_of = np.full((4, *padded.shape), -1, np.int32)
    number_of[tuple(edges)] = np.arange(edges.shape[1])
    rings = _rings(_following(padded, edges, number_of))
    corners = edges[1:].T + START[edges[0]]
    points = [[(x, y) for x, y in corners[ring].tolist()] for ring in rings]
    kept = _with_holes(padded, edges, rings, points, number_of)
    firsts = edges[1:, [rings[ring][0] for ring in kept]]
    found = padded[tuple(firsts)].tolist()
    return [(label, _corners_only(points[ring]) - 1.5) for label, ring in zip(found, kept, strict=True)]


def _edges(padded: NDArray[Any]) -> NDArray[np.int64]:
    """Return side (0 to 3), column and row of every edge between a label and something else, as (3, n)."""
    inner = padded[1:-1, 1:-1]
    found = []
    for side, (dx, dy) in enumerate(OUTSIDE.tolist()):
        beyond = padded[1 + dx : padded.shape[0] - 1 + dx, 1 + dy : padded.shape[1] - 1 + dy]
        x, y = np.nonzero((inner != 0) & (inner != beyond))
        found.append(np.stack([np.full(len(x), side), x + 1, y + 1]))
    return np.concatenate(found, axis=1)


def _following(padded: NDArray[Any], edges: NDArray[np.int64], number_of: NDArray[np.int32]) -> list[int]:
    """Return for each edge the one that comes next round the same region."""
    side, place = edges[0], edges[1:]
    own = padded[tuple(place)]
    ahead = place + AHEAD[side].T
    beside = ahead + OUTSIDE[side].T
    straight = padded[tuple(ahead)] == own
    outward = straight & (padded[tuple(beside)] == own)
    next_side = np.where(outward, side + 3, np.where(straight, side, side + 1)) % 4
    next_place = np.where(outward, beside, np.where(straight, ahead, place))
    return list(number_of[next_side, next_place[0], next_place[1]].tolist())


def _rings(following: Sequence[int]) -> list[list[int]]:
    """Return the closed walks as lists of edges."""
    seen = bytearray(len(following))
    rings = []
    for first in range(len(following)):
        if seen[first]:
            continue
        ring, edge = [], first
        while not seen[edge]:
            seen[edge] = 1
            ring.append(edge)
            edge = following[edge]
        rings.append(ring)
    return rings


def _with_holes(
    padded: NDArray[Any],
    edges: NDArray[np.int64],
    rings: list[list[int]],
    points: list[Ring],
    number_of: NDArray[np.int32],
) -> list[int]:
    """Cut each hole into the ring to its left, in place; return the numbers of the rings that remain."""
    ring_of = np.empty(edges.shape[1], int)
    ring_of[np.concatenate(rings)] = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    steps = np.choose(
        edges[0], (0, edges[1] + 1, 0, -edges[1])
    )  # x dy along each edge; their sum is the area
    outer = np.bincount(ring_of, steps) > 0  # round holes the walk is the other way
    position = np.empty(edges.shape[1], int)
    position[np.concatenate(rings)] = np.concatenate([np.arange(len(ring)) for ring in rings])
    holes = []
    for number in np.flatnonzero(~outer).tolist():
        ring = np.array(rings[number])
        right = ring[edges[0, ring] == 1]  # edges of pixels that have the hole on their right
        edge = int(right[edges[1, right].argmin()])
        holes.append((*edges[1:, edge].tolist(), number, int(position[edge])))
    cuts: dict[int, dict[int, Ring]] = defaultdict(lambda: defaultdict(list))
    for x, y, number, start in sorted(
        holes, reverse=True
    ):  # from the right: what is cut into a hole is known then
        left = x - int(np.argmax(padded[x::-1, y] != padded[x, y])) + 1  # where the run of this label begins
        edge = int(number_of[3, left, y])
        target = int(ring_of[edge])
        at = int(position[edge] + 1) % len(rings[target])
        cuts[target][at] += [*_walk(points[number], cuts[number], start), (x + 1, y), (left, y)]
    kept = np.flatnonzero(outer).tolist()
    for number in kept:
        points[number] = _walk(points[number], cuts[number], 0)
    return list(kept)


def _walk(ring: Ring, cuts: Mapping[int, Ring], start: int) -> Ring:
    """Return a ring from the point at start on, with what is cut in after the points at the keys of cuts."""
    turned = ring[start:] + ring[:start]
    walk: Ring = []
    done = 0
    for at in sorted((key - start) % len(ring) for key in cuts):
        walk += turned[done : at + 1] + cuts[(at + start) % len(ring)]
        done = at + 1
    return walk + turned[done:]


def _corners_only(ring: Ring) -> Points:
    """Return a ring without the points in the middle of straight lines."""
    points = np.array(ring, float)
    ahead = np.sign(np.roll(points, -1, axis=0) - points)
    return points[(ahead != np.roll(ahead, 1, axis=0)).any(axis=1)]


def area(points: Points) -> float:
    """Return the area of a polygon in pixels.

    >>> area(np.array([(-0.5, -0.5), (1.5, -0.5), (1.5, 0.5), (-0.5, 0.5)]))
    2.0
    """
    x, y = points.T
    return float(abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2)


def fill(polygons: Sequence[Points], shape: tuple[int, int]) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Return a window of the slice, and in it the pixels (columns, rows) that belong to the polygons.

    Those are the pixels whose centre is inside an odd number of polygons, or on the line of one: many
    programs draw through the centres of the outermost pixels. What lies beyond the slice is cut off.
    """
    near = [np.rint(polygon) for polygon in polygons]
    snapped = [np.where(np.abs(p - n) < SNAP, n, p) for p, n in zip(polygons, near, strict=True)]
    everywhere = np.concatenate(snapped)
    low = np.clip(np.floor(everywhere.min(axis=0)), 0, shape).astype(int)
    high = np.clip(np.ceil(everywhere.max(axis=0)) + 1, low, shape).astype(int)
    columns, rows = (high - low).tolist()
    on_line = np.zeros((columns, rows), bool)
    toggles = np.zeros((columns + 1) * rows, int)
    for points in (polygon - low for polygon in snapped):
        column, row = _crossings(points, rows)
        place = np.clip(np.ceil(column), 0, columns).astype(int) * rows + row
        toggles += np.bincount(place, minlength=len(toggles))
        hit = np.abs(column - np.rint(column)) < SNAP
        _mark(on_line, np.rint(column[hit]), row[hit])
        _mark_level_lines(on_line, points)
    inside = np.cumsum(toggles.reshape(columns + 1, rows)[:-1], axis=0) % 2 == 1
    return (slice(low[0], high[0]), slice(low[1], high[1])), inside | on_line


def _crossings(points: Points, rows: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return where the lines of a polygon cross the rows: column, row. A line holds only its upper end."""
    ends = np.stack([points, np.roll(points, -1, axis=0)])
    low, high = np.take_along_axis(ends, ends[:, :, 1:].argsort(axis=0), axis=0)
    first = np.clip(np.ceil(low[:, 1]), 0, rows).astype(int)
    count = np.clip(np.ceil(high[:, 1]), 0, rows).astype(int) - first
    line = np.repeat(np.arange(len(points)), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[line]
    slope = (high[line, 0] - low[line, 0]) / (high[line, 1] - low[line, 1])
    return low[line, 0] + (row - low[line, 1]) * slope, row


def _mark(mask: NDArray[np.bool_], column: NDArray[Any], row: NDArray[Any]) -> None:
    inside = (column >= 0) & (column < mask.shape[0]) & (row >= 0) & (row < mask.shape[1])
    mask[column[inside].astype(int), row[inside].astype(int)] = True


def _mark_level_lines(mask: NDArray[np.bool_], points: Points) -> None:
    """Mark the pixel centres on points and on lines along a row, which no crossing finds."""
    _mark(mask, *points[(points == np.rint(points)).all(axis=1)].T)
    ends = np.roll(points, -1, axis=0)
    level = (points[:, 1] == ends[:, 1]) & (points[:, 1] == np.rint(points[:, 1]))
    for (x, y), (to, _) in zip(points[level], ends[level], strict=True):
        if 0 <= y < mask.shape[1]:
            low, high = sorted((x, to))
            mask[max(int(np.ceil(low)), 0) : max(int(np.floor(high)) + 1, 0), int(y)] = True
