"""Shapes in millimetres drawn on a fine grid: what `ct` paints a patient with.

Depths are signed: mm below the surface of a shape, positive inside. RAS+: x to the patient's right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Field = NDArray[np.float32]
Inside = NDArray[np.bool_]
Point = Sequence[float] | NDArray[np.float64]
OUTSIDE_MM = -1e3


@dataclass(frozen=True)
class Tube:
    """A tapered tube along a smooth curve: points (n, 3) in mm and a radius in mm at each."""

    points: NDArray[np.float64]
    radii: NDArray[np.float64]

    @classmethod
    def through(
        cls, knots: Sequence[Point] | NDArray[np.float64], first_mm: float, last_mm: float | None = None
    ) -> Tube:
        """Return the tube whose spline passes the knots, tapered from the first to the last radius."""
        ends = np.asarray(knots, float)
        steps = np.linalg.norm(np.diff(ends, axis=0), axis=1)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        last_mm = first_mm if last_mm is None else last_mm
        count = max(4, int(along[-1] / (0.6 * min(first_mm, last_mm))))
        at = np.linspace(0.0, along[-1], count)
        kind: Any = "natural"
        return cls(CubicSpline(along, ends, bc_type=kind)(at), np.linspace(first_mm, last_mm, count))

    def pinched(self, depth: float, every_mm: float) -> Tube:
        """Return the tube with its radius drawn in by `depth` (share) every so many mm, like a colon."""
        steps = np.linalg.norm(np.diff(self.points, axis=0, prepend=self.points[:1]), axis=1)
        waves = 0.5 - 0.5 * np.cos(2 * np.pi * np.cumsum(steps) / every_mm)
        return Tube(self.points, self.radii * (1 - depth * waves))


@dataclass
class Canvas:
    """A box of the body: coordinates in mm, and the HU and labels painted so far."""

    x: Field
    y: Field
    z: Field
    hu: Field
    label: NDArray[np.uint8]
    slack_mm: float  # the largest shift between grid and (deformed) coordinates
    box: tuple[slice, ...] = (slice(None),) * 3  # of the canvas that this one is a part of

    @classmethod
    def blank(cls, axes_mm: Sequence[NDArray[np.float64]], bend: Callable[..., Sequence[Any]]) -> Canvas:
        """Return a grid over the axes (mm) filled with air; `bend(x, y, z)` gives its shifts (mm)."""
        shape = tuple(len(axis) for axis in axes_mm)
        straight = np.meshgrid(*(axis.astype(np.float32) for axis in axes_mm), indexing="ij", sparse=True)
        shifts = bend(*straight)
        coordinates = [(s + d).astype(np.float32) for s, d in zip(straight, shifts, strict=True)]
        slack = max(float(np.abs(d).max()) for d in shifts)
        hu = np.full(shape, -1000.0, np.float32)
        x, y, z = coordinates
        return cls(x, y, z, hu, np.zeros(shape, np.uint8), slack)

    def around(self, low_mm: Point, high_mm: Point) -> Canvas:
        """Return the part of the canvas between two corners; painting it paints the whole."""
        shape = self.hu.shape
        middle = [n // 2 for n in shape]
        lines = (
            self.x[:, middle[1], middle[2]],
            self.y[middle[0], :, middle[2]],
            self.z[middle[0], middle[1], :],
        )
        box = tuple(
            slice(
                int(np.searchsorted(line, low - 2 * self.slack_mm)),
                max(1, int(np.searchsorted(line, high + 2 * self.slack_mm))),
            )
            for line, low, high in zip(lines, low_mm, high_mm, strict=True)
        )
        x, y, z = self.x[box], self.y[box], self.z[box]
        return Canvas(x, y, z, self.hu[box], self.label[box], self.slack_mm, box)

    def ellipsoid(self, centre: Point, radii: Point, tilt_degrees: Point = (0.0, 0.0, 0.0)) -> Field:
        """Return the depth (mm, exact at the surface only) in an ellipsoid turned about x, y and z."""
        shifted = [axis - np.float32(c) for axis, c in zip((self.x, self.y, self.z), centre, strict=True)]
        turn = _turn(tilt_degrees)
        total: Field = np.zeros(self.hu.shape, np.float32)
        for row, radius in zip(turn, radii, strict=True):
            along = sum(np.float32(w) * part for w, part in zip(row / radius, shifted, strict=True) if w)
            total += np.square(along)
        return (1 - np.sqrt(total)) * np.float32(min(radii))

    def tubes(self, tubes: Sequence[Tube]) -> Field:
        """Return the depth (mm) in a set of tubes."""
        depth: Field = np.full(self.hu.shape, OUTSIDE_MM, np.float32)
        for tube in tubes:
            for point, radius in zip(tube.points, tube.radii, strict=True):
                reach = radius + 1.0
                part = Canvas(self.x, self.y, self.z, depth, self.label, self.slack_mm)
                part = part.around(point - reach, point + reach)
                away = np.square(part.x - np.float32(point[0]))
                away = (
                    away + np.square(part.y - np.float32(point[1])) + np.square(part.z - np.float32(point[2]))
                )
                np.maximum(part.hu, np.float32(radius) - np.sqrt(away), out=part.hu)
        return depth

    def paint(self, inside: Inside, hu: float | Field, label: int = 0) -> None:
        """Give the voxels inside a shape their HU and their label."""
        self.hu[inside] = hu if np.isscalar(hu) else np.broadcast_to(hu, self.hu.shape)[inside]
        self.label[inside] = label


def joined(depths: Sequence[Field], softness_mm: float) -> Field:
    """Return the union of shapes whose seams are rounded over some mm."""
    top = np.maximum.reduce(list(depths))
    total = sum(np.exp((depth - top) / np.float32(softness_mm)) for depth in depths)
    return top + np.float32(softness_mm) * np.log(total).astype(np.float32)


def _turn(degrees: Point) -> NDArray[np.float64]:
    a, b, c = np.deg2rad(np.asarray(degrees, float))
    x = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, -np.sin(b)], [0, 1, 0], [np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), np.sin(c), 0], [-np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z
