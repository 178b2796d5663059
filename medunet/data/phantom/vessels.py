"""Arteries, veins and bones of a simulated patient."""

from __future__ import annotations

import numpy as np

from medunet.data.phantom.anatomy import LIVER, VESSELS, Anatomy
from medunet.data.phantom.organs import waves
from medunet.data.phantom.shapes import Canvas, Field, Inside, Tube

SPINE_Y, DISC_EVERY_MM = -42.0, 34.0
AORTA = [(-6, -14, 130), (-9, -13, 80), (-8, -12, 30), (-7, -13, -20), (-5, -14, -72)]


def paint_veins(canvas: Canvas, body: Anatomy) -> None:
    """Paint vena cava, portal, splenic, renal and hepatic veins; inside the liver they belong to it."""
    near = body.near
    cava = [
        Tube.through([(14, -16, -76), near(17, -13, -20), near(19, -9, 40), (15, 2, 98)], 10, 12),
        *(Tube.through([(14, -16, -74), (s * 26, -20, -98), (s * 48, -22, -130)], 8, 7) for s in (-1, 1)),
    ]
    for side, centre in enumerate(body.kidney_centres):
        inward = (1, -1)[side]
        hilum = centre + np.array([17 * inward, 8, -2])
        front = (-6, 2, 6) if side == 0 else (30, -14, 0)  # the left one passes in front of the aorta
        cava.append(Tube.through([hilum, front, (17, -11, 6)], 5))
    portal = [
        Tube.through([(8, 6, 18), near(30, 10, 36), (58, 12, 48)], 7, 6),
        Tube.through([(58, 12, 48), near(84, 4, 58), near(104, -12, 66)], 5, 3),
        Tube.through([(58, 12, 48), (40, 30, 56), near(18, 42, 62)], 5, 3),
        Tube.through([(8, 6, 18), near(-34, 0, 36), near(-76, -24, 44)], 5, 4),
        Tube.through([(8, 6, 18), near(9, 22, -20), near(8, 30, -62)], 6, 4),
    ]
    hepatic = [Tube.through([(15, 0, 86), end], 6, 3) for end in ((88, -24, 58), (74, 18, 62), (28, 42, 66))]
    _paint_keeping_liver(canvas, canvas.tubes(portal + hepatic) > 0, body.hu["vein"])
    canvas.paint(canvas.tubes(cava) > 0, body.hu["vein"])


def paint_arteries(canvas: Canvas, body: Anatomy) -> None:
    """Paint the aorta and its branches to liver, spleen, kidneys, bowel and legs: one tree, one label."""
    near = body.near
    width = body.rng.uniform(9.0, 12.0)
    split = AORTA[-1]
    coeliac = (-6, 14, 40)
    porta = near(56, 18, 44)
    tree = [
        Tube.through(AORTA, width, 0.8 * width),
        *(Tube.through([split, (s * 24 - 2, -14, -98), (s * 46, -14, -130)], 7, 6) for s in (-1, 1)),
        Tube.through([(-8, -12, 36), near(-7, 4, 40, by_mm=1), coeliac], 5.5, 5),
        Tube.through([coeliac, near(24, 20, 36), porta], 4.8, 4.2),
        Tube.through([porta, near(80, 16, 54), near(100, 4, 70)], 4.2, 3),
        Tube.through([porta, near(84, 24, 30), near(98, 22, 12)], 3.6, 3),
        Tube.through([porta, near(38, 34, 60), near(14, 44, 66)], 3.8, 3),
        Tube.through(
            [coeliac, near(-30, 2, 46), near(-54, 2, 34), body.spleen_centre + np.array([14, 6, 0])], 4.8, 4
        ),
        Tube.through([(-7, -12, 22), (-6, 6, 16), near(-4, 20, -14), near(4, 26, -66)], 5, 4),
    ]
    for side, centre in enumerate(body.kidney_centres):
        inward = (1, -1)[side]
        hilum = centre + np.array([16 * inward, 5, 3])
        behind = (-30, -20, 4) if side == 0 else (26, -26, -2)  # the right one passes behind the vena cava
        tree.append(Tube.through([(-8, -14, 8), behind, hilum], 4.6, 4))
    lumen = canvas.tubes(tree)
    canvas.paint(lumen > 0, body.hu["artery"] * (1 + 0.03 * waves(canvas, body, 25)), VESSELS)
    if body.rng.random() < 0.3:  # chalk in the wall of the aorta
        wall = (lumen > 0) & (lumen < 2) & (waves(canvas, body, 9) > 0.7) & (np.abs(canvas.x + 7) < width + 3)
        canvas.paint(wall, 480.0, VESSELS)


def paint_spine(canvas: Canvas, body: Anatomy) -> None:
    """Paint vertebrae, discs, the muscles beside them and the wings of the pelvis."""
    part = canvas.around((-75, -112, -130), (75, 10, 130))
    x, y = part.x, part.y - np.float32(SPINE_Y)
    level = ((part.z + np.float32(body.rng.uniform(0, DISC_EVERY_MM))) / DISC_EVERY_MM) % 1
    for side in (-1, 1):
        psoas = _ellipse(
            x - side * (34 - 0.06 * part.z), y - 2, 6 + np.float32(0.12) * (40 - part.z).clip(0), 13
        )
        part.paint((psoas > 0) & (part.z < 20), body.hu["muscle"])
        beside = _ellipse(x - side * 31, y + 36, 25, 17)
        part.paint(beside > 0, body.hu["muscle"] * (1 + 0.15 * waves(part, body, 10)))
        part.paint(_ellipse(x - side * 60, y + 16, 12, 8) > np.where(part.z < 10, 0, 99), body.hu["muscle"])
    arch = _ellipse(x, y + 26, 16, 12)
    spine = _ellipse(x, y + 46, 4, 15)
    wings = _ellipse(x, y + 20, 42, 5)
    _bone(
        part,
        body,
        np.maximum(spine - 99 * (np.abs(level - 0.5) > 0.3), wings - 99 * (np.abs(level - 0.55) > 0.12)),
    )
    _bone(part, body, arch)
    part.paint(_ellipse(x, y + 26, 10, 7.5) > 0, body.hu["fluid"] + 15)
    trunk = _ellipse(x, y, 23 - 3 * np.sin(np.pi * level), 17 - 2 * np.sin(np.pi * level))
    disc = np.abs(level - 0.5) > 0.39
    _bone(part, body, trunk)
    part.paint((trunk > 0) & disc, body.hu["disc"])
    for side in (-1, 1):
        wing = canvas.ellipsoid((side * 76, -30, -186), (54, 62, 84), (0, 0, -25 * side))
        canvas.paint((wing > -9) & (canvas.z < -98) & (canvas.y < 10), body.hu["muscle"])
        _bone(canvas, body, np.minimum(np.minimum(wing, 8 - wing), 10 - canvas.y))


def paint_ribs(canvas: Canvas, body: Anatomy) -> None:
    """Paint four pairs of ribs in the wall, sloping down to the front."""
    inset = body.fat_mm * 1.15 + 0.55 * body.wall_mm
    a, b = body.half_width_mm - inset, body.half_depth_mm - inset
    tubes = []
    for z, last in ((124, 2.5), (97, 2.3), (70, 2.0), (43, 1.5)):
        turn = np.linspace(0.28, last, 9)
        drop = 46 * (turn / 2.0) ** 1.2
        for side in (-1, 1):
            box = (np.sin(turn) ** 4 + np.cos(turn) ** 4 + 1.5 * (np.sin(turn) * np.cos(turn)) ** 2) ** -0.25
            knots = [
                (side * a * q * np.sin(t), body.middle_mm - b * q * np.cos(t), z - d)
                for t, d, q in zip(turn, drop, box, strict=True)
            ]
            tubes.append(Tube.through(knots, 5.5, 4.5))
    _bone(canvas, body, canvas.tubes(tubes))


def _bone(canvas: Canvas, body: Anatomy, depth: Field) -> None:
    canvas.paint(depth > 0, body.hu["cortical"])
    canvas.paint(depth > 2.2, body.hu["spongy"])


def _ellipse(x: Field, y: Field, half_x: float | Field, half_y: float | Field) -> Field:
    return (1 - np.sqrt(np.square(x / half_x) + np.square(y / half_y))) * np.minimum(half_x, half_y)


def _paint_keeping_liver(canvas: Canvas, inside: Inside, hu: float) -> None:
    canvas.paint(inside & (canvas.label == LIVER), hu, LIVER)
    canvas.paint(inside & (canvas.label != LIVER), hu)
