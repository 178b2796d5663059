"""A shape between two training masks: a weighted mean of their signed distances, plus smooth noise.

The outline comes from the distance to all that is labelled, the borders inside from the distance to each
label; both masks are brought to a common centroid and size first. For organs: every source holds the same few
labels. Many small objects do not blend (`scatter` is for them).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import distance_transform_edt

from medunet.config.base import Record
from medunet.shapes.family import Family, Mask, NewMask, Refused
from medunet.shapes.fields import draw_nodes, resampled, spread, steps_of
from medunet.shapes.repair import EVERY_FACT

JUDGED_BY = EVERY_FACT
Maps = NDArray[np.float32]
Pose = tuple[NDArray[np.float64], float]  # centroid in voxels of the canvas, size in voxels^(1/d)

MARGIN = 4  # voxels around the labelled box
PARTNERS = 4  # second masks that one try looks at


class Options(Record):
    """How two masks are mixed. Lengths in units of the smallest voxel edge."""

    weight: tuple[float, float] = (0.3, 0.7)  # of the first mask
    noise_voxels: float = Field(0.7, ge=0)  # root mean square of what is added to the distance
    noise_sigma_voxels: float = Field(4.0, gt=0)  # smoothness of it
    overlap: float = Field(0.5, ge=0, le=1)  # Dice of the aligned masks, below which they are no pair


def draw(options: Options, family: Family, generator: np.random.Generator) -> NewMask:
    """Return a blend of two sources."""
    if len(family.labelled) < 2:
        raise Refused("blending takes two labelled training masks, there is one")
    one = family.draw(generator)
    window = family.window(one, generator)
    first, size = family.canvas(one, window, MARGIN)
    weight = float(generator.uniform(*options.weight))
    two, maps = _pair(options, family, generator, (one, first, size), weight)
    mixed = weight * maps[0] + (1 - weight) * maps[1]
    if options.noise_voxels > 0:
        mixed = mixed + _noise(options, family.spacing_mm, mixed.shape, generator)
    canvas = _labels(mixed, family.labels)
    mask = family.framed(canvas, tuple(w - f for w, f in zip(window, first, strict=True)))
    parents = tuple(family.sources[i].identity for i in (one, two))
    return NewMask(mask, parents, {"weight": weight, "first_voxel": list(window)})


def _pair(
    options: Options,
    family: Family,
    generator: np.random.Generator,
    canvas: tuple[int, tuple[int, ...], tuple[int, ...]],
    weight: float,
) -> tuple[int, tuple[Maps, Maps]]:
    """Return a second source and the distance maps of both in a common pose on the canvas of the first."""
    one, first, size = canvas
    mask = family.cut(one, first, size)
    maps, pose = distances(mask, family.labels, family.spacing_mm), _pose(mask)
    found = 0.0
    for _ in range(PARTNERS):
        two = family.draw(generator, besides=one)
        other = _own_canvas(family, two)
        other_pose = _pose(other)
        common = (pose[0], pose[1] ** weight * other_pose[1] ** (1 - weight))
        posed = posed_maps(maps, pose, common, size)
        other_maps = posed_maps(distances(other, family.labels, family.spacing_mm), other_pose, common, size)
        inside, other_inside = posed[0] < 0, other_maps[0] < 0
        found = float(2 * (inside & other_inside).sum() / max(inside.sum() + other_inside.sum(), 1))
        if found >= options.overlap:
            return two, (posed, other_maps)
    raise Refused(f"two masks overlap with a Dice of {found:.2f} when aligned, expected {options.overlap:g}")


def _own_canvas(family: Family, index: int) -> Mask:
    """Return the labelled box of a source, with a margin."""
    low, size = family.boxes[index] or ((), ())
    return family.cut(index, tuple(n - MARGIN for n in low), tuple(n + 2 * MARGIN for n in size))


def distances(mask: Mask, labels: Sequence[int], spacing_mm: Sequence[float]) -> Maps:
    """Return maps (1 + labels, X, Y[, Z]) in mm: the signed distance to the outline of all that is labelled
    (below 0 inside), then the distance to each label (0 inside it).
    """
    # half a voxel: distances run between voxel centres, the outline runs between the voxels
    half = min(spacing_mm) / 2
    inside = mask > 0
    outer = distance_transform_edt(~inside, spacing_mm) if inside.any() else np.full(mask.shape, _far(mask))
    inner = distance_transform_edt(inside, spacing_mm)
    maps = [np.where(inside, half - inner, outer - half)]
    if len(labels) > 1:
        for label in labels:
            there = mask == label
            maps.append(distance_transform_edt(~there, spacing_mm) if there.any() else maps[0] + _far(mask))
    return np.stack(maps).astype(np.float32)


def posed_maps(maps: Maps, pose: Pose, common: Pose, size: tuple[int, ...]) -> Maps:
    """Return distance maps moved and scaled from one pose to another, on a canvas of `size`."""
    factor = pose[1] / common[1]
    if factor == 1 and np.array_equal(pose[0], common[0]) and maps.shape[1:] == size:
        return maps
    return resampled(maps, pose[0] - factor * common[0], factor, size) / np.float32(factor)


def _labels(mixed: Maps, labels: Sequence[int]) -> Mask:
    """Return the mask: inside the outline, the label that is nearest."""
    nearest = mixed[1:].argmin(0) if len(labels) > 1 else np.zeros(mixed.shape[1:], int)
    return np.where(mixed[0] < 0, np.array(labels, np.uint8)[nearest], 0).astype(np.uint8)


def _noise(
    options: Options, spacing_mm: Sequence[float], shape: tuple[int, ...], generator: np.random.Generator
) -> Maps:
    """Return smooth noise in mm for every map."""
    steps = steps_of(options.noise_sigma_voxels, spacing_mm)
    noise = spread(draw_nodes(generator, shape[0], shape[1:], steps), shape[1:], steps)
    return np.asarray(noise * (options.noise_voxels * min(spacing_mm)), np.float32)


def _pose(mask: Mask) -> Pose:
    voxels = np.argwhere(mask)
    return voxels.mean(0), len(voxels) ** (1 / mask.ndim)


def _far(mask: NDArray[Any]) -> float:
    """A distance that nothing on the canvas reaches."""
    return float(sum(mask.shape))
