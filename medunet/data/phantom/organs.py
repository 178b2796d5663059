"""The organs of a simulated patient, painted from the outside in: later shapes win."""

from __future__ import annotations

import numpy as np

from medunet.data.phantom.anatomy import KIDNEY_LEFT, KIDNEY_RIGHT, LIVER, SPLEEN, Anatomy
from medunet.data.phantom.shapes import Canvas, Field, Tube, joined

RIGHT_DOME_MM, LEFT_DOME_MM = 92.0, 80.0  # height of the diaphragm


def paint_trunk(canvas: Canvas, body: Anatomy) -> Field:
    """Paint skin, fat and muscle; return the depth below the inner side of the wall."""
    x2 = np.square(canvas.x / np.float32(body.half_width_mm))
    y2 = np.square((canvas.y - np.float32(body.middle_mm)) / np.float32(body.half_depth_mm))
    q = np.sqrt(np.sqrt(x2 * x2 + y2 * y2 + 1.5 * x2 * y2))  # between an ellipse and a box
    depth = (1 - q) * np.float32(body.half_depth_mm)
    fat = np.float32(body.fat_mm) * (1 + 0.4 * x2 - canvas.z / 480)
    wall: Field = depth - fat - np.float32(body.wall_mm)
    canvas.paint(depth > 0, body.hu["skin"])
    canvas.paint(depth > 2.5, body.hu["fat"])
    canvas.paint((depth > fat) & (wall < 0), body.hu["muscle"])
    white_line = (np.abs(canvas.x) < 5) & (canvas.y > body.middle_mm) & (wall > -body.wall_mm)
    canvas.paint(white_line & (wall < 0), 0.5 * body.hu["fat"])
    return wall


def paint_chest(canvas: Canvas, body: Anatomy, wall: Field) -> Field:
    """Paint lung bases, heart and diaphragm; return the depth below the diaphragm."""
    domes = []
    for x, height in ((72, RIGHT_DOME_MM), (-72, LEFT_DOME_MM)):
        r2 = np.square((canvas.x - x) / 92) + np.square((canvas.y - body.middle_mm) / 88)
        domes.append(np.float32(height + body.rng.normal(0, 5)) - 12 * r2 - 38 * r2 * r2)
    above: Field = canvas.z - joined(domes, 6)
    middle = np.abs(canvas.x + 6) - (16 + 0.25 * np.maximum(0, canvas.y + 40))
    lung = np.minimum(np.minimum(wall, above), middle)
    texture = 45 * waves(canvas, body, 14)
    canvas.paint(lung > 0, body.hu["lung"] + texture)
    branches = np.square(waves(canvas, body, 22)) < 0.0016
    canvas.paint((lung > 4) & branches, -350.0)
    heart = np.minimum(
        canvas.ellipsoid((-22, 28, 118), (62, 46, 38), (0, 15, 0)), np.minimum(above, wall) - 2
    )
    canvas.paint(heart > -5, body.hu["fat"])
    canvas.paint(heart > 0, body.hu["muscle"] + 20)
    canvas.paint(heart > 10, 0.5 * (body.hu["artery"] + body.hu["vein"]))
    canvas.paint((above > -3.5) & (above < 0) & (wall > 0), body.hu["muscle"])
    return -above


def paint_bowel(canvas: Canvas, body: Anatomy, room: Field) -> None:
    """Paint small bowel and colon with stool, fluid and gas."""
    front = body.middle_mm + body.half_depth_mm - body.fat_mm - body.wall_mm
    loops = []
    for x, bottom in ((40, -122), (-40, -122), (0, -84), (-45, -70), (45, -92)):
        knots = body.rng.uniform((x - 42, -4, bottom), (x + 42, front - 14, bottom + 42), (8, 3))
        loops.append(Tube.through(knots, 10, 9))
    _hollow(canvas, body, loops, room, wall_mm=3.0, gas=1.5)
    colon: list[list[tuple[float, float, float]]] = [
        [(98, -18, -122), (106, -10, -85), (103, -2, -50), (92, 22, -32)],
        [(92, 22, -32), (48, front - 26, -46), (0, front - 20, -58), (-50, front - 28, -36), (-94, 12, 12)],
        [(-94, 12, 12), (-112, -12, -22), (-108, -18, -80), (-96, -10, -122)],
    ]
    radii = ((24, 21), (21, 18), (17, 14))
    tubes = [
        Tube.through([body.near(*k, by_mm=4) for k in knots], *ends).pinched(0.28, 26)
        for knots, ends in zip(colon, radii, strict=True)
    ]
    _hollow(canvas, body, tubes, room, wall_mm=3.0, gas=0.55)


def paint_stomach(canvas: Canvas, body: Anatomy, room: Field) -> None:
    """Paint stomach, duodenum and pancreas."""
    path = [(-60, -14, 84), (-70, 6, 58), (-60, 36, 26), (-22, 48, 4), (14, 40, 4), (28, 22, 6)]
    tube = Tube.through([body.near(*knot, by_mm=2.5) for knot in path], 20)
    at = np.linspace(0, 1, len(tube.points))
    full = body.rng.uniform(0.75, 1.1)
    bag = Tube(tube.points, full * np.interp(at, (0, 0.2, 0.5, 0.75, 1), (33, 36, 28, 19, 11)))
    duodenum = Tube.through(
        [body.near(*k) for k in ((28, 22, 6), (42, 6, -8), (36, -6, -34), (0, 4, -44))], 12
    )
    pancreas = Tube.through(
        [body.near(*k) for k in ((30, 10, 2), (6, 16, 18), (-32, 8, 30), (-76, -16, 40))], 12, 8
    )
    canvas.paint((canvas.tubes([pancreas]) > 0) & (room > 2), body.hu["pancreas"])
    _hollow(canvas, body, [duodenum], room, wall_mm=3.0, gas=1.5)
    depth = np.minimum(canvas.tubes([bag]), room - 2)
    canvas.paint(depth > 0, body.hu["bowel"])
    canvas.paint(depth > 4, body.rng.uniform(5, 45) + 12 * waves(canvas, body, 12))
    level = body.rng.uniform(8, 40)  # the patient lies on the back: gas rises to the front
    canvas.paint((depth > 4) & (canvas.y > level), body.hu["gas"])


def paint_spleen(canvas: Canvas, body: Anatomy, room: Field) -> None:
    """Paint the spleen with its hollow towards the stomach."""
    size = body.spleen
    x, y, z = body.spleen_centre
    outer = canvas.ellipsoid((x, y, z), (35 * size, 57 * size, 58 * size), (22, 0, -14))
    hollow = canvas.ellipsoid((x + 50, y + 32, z + 4), (34, 46, 42), (10, 0, -10))
    depth = np.minimum(np.minimum(outer, room - 1.5), -hollow)
    texture = 0.12 * waves(canvas, body, 9) if body.phase == "arterial" else 0.0  # mottled when early
    canvas.paint(depth > 0, body.hu["spleen"] * (1 + texture), SPLEEN)


def paint_liver(canvas: Canvas, body: Anatomy, room: Field) -> None:
    """Paint the liver, its lesions and the gallbladder."""
    s, near = body.liver, body.near
    right = canvas.ellipsoid(near(74, 0, 36), (70 * s, 80 * s, 84 * s), (0, 8, 0))
    left = canvas.ellipsoid(near(0, 40, 52), (80 * s, 38 * s, 34 * s), (0, 12, 8))
    tip = canvas.ellipsoid(near(104, 8, -16, by_mm=6), (28 * s, 46 * s, 48 * s), (0, -10, 0))
    hollow = canvas.ellipsoid(near(12, -2, -34), (58, 56, 58))
    renal = canvas.ellipsoid(
        body.kidney_centres[1] + np.array([-6, -26, 0]), (46, 48, 64)
    )  # the kidney's bed
    groove = canvas.ellipsoid((12, -30, 40), (24, 32, 70))  # for vena cava and spine
    depth = np.minimum(
        np.minimum(joined([right, left, tip], 14), room - 1.5), -joined([hollow, renal, groove], 5)
    )
    canvas.paint(depth > 0, body.hu["liver"] * (1 + 0.02 * waves(canvas, body, 30)), LIVER)
    for _ in range(body.lesions):
        centre = (body.rng.uniform(45, 105), body.rng.uniform(-35, 45), body.rng.uniform(0, 70))
        lesion = canvas.ellipsoid(centre, body.rng.uniform(8, 19) * body.rng.uniform(0.85, 1.15, 3))
        canvas.paint((lesion > 0) & (depth > 3), body.hu["lesion"], LIVER)
    if body.rng.random() < 0.85:
        bile = canvas.ellipsoid(near(44, 38, -2), (13, 14, 27), (-25, 15, 0))
        canvas.paint((bile > -2) & (room > 3), body.hu["bowel"])
        canvas.paint((bile > 0) & (room > 5), body.hu["fluid"])


def paint_kidney(canvas: Canvas, body: Anatomy, side: int, room: Field) -> None:
    """Paint the left (0) or right (1) kidney: cortex, pyramids, sinus, and the fat around it."""
    inward = (1, -1)[side]
    centre, k = body.kidney_centres[side], body.kidneys[side]
    part = canvas.around(centre - 80, centre + 80)
    inner_room = room[part.box]
    tilt = (-8 + body.rng.normal(0, 3), 10.0 * inward + body.rng.normal(0, 3), 20.0 * inward)
    outer = part.ellipsoid(centre, (28 * k, 25 * k, 55 * k), tilt)
    hilum = part.ellipsoid(centre + np.array([25 * k * inward, 7, 2]), (13, 11, 14))
    depth = np.minimum(np.minimum(outer, -hilum), inner_room - 2)
    part.paint((outer > -7) & (inner_room > 1), body.hu["fat"])
    columns = np.cos((part.z - centre[2]) * (2 * np.pi / 19)) * np.cos(
        5 * np.arctan2(part.y - centre[1], part.x - centre[0])
    )
    part.paint(depth > 0, body.hu["cortex"], (KIDNEY_LEFT, KIDNEY_RIGHT)[side])
    part.paint((depth > 5.5) & (columns > -0.25), body.hu["medulla"], (KIDNEY_LEFT, KIDNEY_RIGHT)[side])
    sinus = part.ellipsoid(centre + np.array([12 * k * inward, 3, 0]), (11 * k, 6 * k, 19 * k), tilt)
    part.paint((sinus > 0) & (outer > 0), 0.8 * body.hu["fat"])
    pelvis = part.ellipsoid(centre + np.array([17 * k * inward, 4, -2]), (10, 5, 9))
    part.paint(pelvis > 0, body.hu["fluid"])


def waves(canvas: Canvas, body: Anatomy, length_mm: float) -> Field:
    """Return a smooth random pattern between about -1 and 1, with features of some mm."""
    out: Field = np.zeros(canvas.hu.shape, np.float32)
    for _ in range(3):
        way = body.rng.normal(0, 2 * np.pi / (2.2 * length_mm), 3).astype(np.float32)
        out += np.sin(
            canvas.x * way[0] + canvas.y * way[1] + canvas.z * way[2] + np.float32(body.rng.uniform(0, 6.3))
        )
    return out / np.float32(2)


def _hollow(
    canvas: Canvas, body: Anatomy, tubes: list[Tube], room: Field, *, wall_mm: float, gas: float
) -> None:
    """Paint bowel: wall, content, and gas where the pattern exceeds `gas`."""
    low = np.min([tube.points.min(0) for tube in tubes], axis=0) - 30
    high = np.max([tube.points.max(0) for tube in tubes], axis=0) + 30
    part = canvas.around(low, high)
    depth = np.minimum(part.tubes(tubes), room[part.box] - 2)
    part.paint(depth > 0, body.hu["bowel"])
    inside = depth > wall_mm
    pattern = waves(part, body, 16)
    part.paint(inside, 18 + 25 * pattern)
    part.paint(inside & (pattern > gas), body.hu["gas"])
