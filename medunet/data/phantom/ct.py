"""A simulated abdomen CT: many patients with known organs. No person was scanned.

Each patient differs in build, position and size of organs, contrast phase, spacing and noise. Labels:
1 liver, 2 spleen, 3 left kidney, 4 right kidney, 5 vessels (aorta with its branches). Everything else, such
as stomach, bowel, veins and bone, is there to be told apart from them: many share their HU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medunet.data.phantom.anatomy import VESSELS, Anatomy, Phase
from medunet.data.phantom.organs import (
    paint_bowel,
    paint_chest,
    paint_kidney,
    paint_liver,
    paint_spleen,
    paint_stomach,
    paint_trunk,
)
from medunet.data.phantom.shapes import Canvas
from medunet.data.phantom.vessels import paint_arteries, paint_ribs, paint_spine, paint_veins

FINE = 2  # a scan is painted so many times finer and averaged: partial volume
HEIGHT_MM = 240.0


@dataclass(frozen=True)
class Phantom:
    """One patient: hu int16 and mask uint8 (X, Y, Z), RAS+, with the affine to mm."""

    hu: NDArray[np.int16]
    mask: NDArray[np.uint8]
    affine: NDArray[np.float64]
    phase: Phase


def make_patient(seed: int) -> Phantom:
    """Return patient number `seed`; the same number gives the same patient."""
    rng = np.random.default_rng([2015, seed])
    body = Anatomy.draw(rng)
    in_plane_mm = rng.uniform(3.2, 4.2)
    spacing = np.array([in_plane_mm, in_plane_mm, rng.uniform(4.0, 6.0)])
    extent = np.array([2 * body.half_width_mm + 18, 2 * body.half_depth_mm + 24, HEIGHT_MM])
    shape = np.ceil(extent / spacing).astype(int)
    first = -spacing * (shape - 1) / 2 + (0, body.middle_mm, 0)
    offsets = (np.arange(FINE) - (FINE - 1) / 2) / FINE
    axes = [
        f + s * (np.arange(n)[:, None] + offsets).ravel()
        for f, s, n in zip(first, spacing, shape, strict=True)
    ]
    canvas = Canvas.blank(axes, _bend(rng))
    paint_patient(canvas, body)
    hu = _blocks(canvas.hu, shape).mean(-1) + _noise(rng, shape)
    size = rng.uniform(0.92, 1.08)  # of the whole patient
    affine = np.diag([*(size * spacing), 1.0])
    affine[:3, 3] = size * first
    mask = _majority(canvas.label, shape)
    return Phantom(np.clip(np.rint(hu), -1024, 3000).astype(np.int16), mask, affine, body.phase)


def paint_patient(canvas: Canvas, body: Anatomy) -> None:
    """Paint a patient from the outside in."""
    wall = paint_trunk(canvas, body)
    below = paint_chest(canvas, body, wall)
    room = np.minimum(wall, below)  # depth in the belly
    paint_bowel(canvas, body, room)
    paint_stomach(canvas, body, room)
    paint_spleen(canvas, body, room)
    paint_liver(canvas, body, room)
    paint_kidney(canvas, body, 0, room)
    paint_kidney(canvas, body, 1, room)
    paint_veins(canvas, body)
    paint_spine(canvas, body)
    paint_arteries(canvas, body)
    paint_ribs(canvas, body)


def _bend(rng: np.random.Generator) -> Callable[..., list[Any]]:
    """Return a smooth deformation: shifts of some mm along each axis, from waves longer than an organ."""
    waves = rng.uniform(2 * np.pi / 420, 2 * np.pi / 240, (3, 2, 3)) * rng.choice((-1, 1), (3, 2, 3))
    phases, heights = rng.uniform(0, 2 * np.pi, (3, 2, 3)), rng.uniform(1.5, 4.0, (3, 2))

    def shifts(*axes: NDArray[np.float32]) -> list[Any]:
        out = []
        for way, phase, height in zip(waves, phases, heights, strict=True):
            parts = (
                np.prod([1.0], initial=h)
                * np.sin(axes[0] * w[0] + p[0])
                * np.sin(axes[1] * w[1] + p[1])
                * np.sin(axes[2] * w[2] + p[2])
                for w, p, h in zip(way, phase, height, strict=True)
            )
            out.append(sum(parts))
        return out

    return shifts


def _blocks(fine: NDArray[Any], shape: NDArray[np.int_]) -> NDArray[Any]:
    """Return the fine voxels of every voxel: (X, Y, Z, FINE^3)."""
    x, y, z = (int(n) for n in shape)
    split = fine.reshape(x, FINE, y, FINE, z, FINE).transpose(0, 2, 4, 1, 3, 5)
    return split.reshape(x, y, z, FINE**3)


def _majority(label: NDArray[np.uint8], shape: NDArray[np.int_]) -> NDArray[np.uint8]:
    """Return the label that fills at least half of a voxel; thin vessels win a tie."""
    blocks = _blocks(label, shape)
    out = np.zeros(tuple(shape), np.uint8)
    for value in range(1, VESSELS + 1):
        out[(blocks == value).sum(-1) * 2 >= FINE**3] = value
    return out


def _noise(rng: np.random.Generator, shape: NDArray[np.int_]) -> NDArray[np.float64]:
    """Return noise of a CT without bias: grainy in plane, of a strength that differs from scan to scan."""
    grain = gaussian_filter(rng.standard_normal(tuple(shape)), (0.65, 0.65, 0.25))
    return grain * (rng.uniform(9, 24) / grain.std())
