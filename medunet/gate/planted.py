"""Copies of training cases as a generator that has learnt by heart would bring them out: changed a little."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medunet.gate.pieces import Piece

Array = NDArray[np.float32]
Change = Callable[[Array, Piece, np.random.Generator], Array]
Random = np.random.Generator

KINDS = ("same", "flip", "shift", "gamma", "noise", "blur", "rotate", "scale", "crop", "elastic", "mixed")
MIXED = ("flip", "shift", "gamma", "noise", "blur", "rotate", "scale", "elastic")
AT_ONCE = 3  # of them
DEGREES = 8.0
SCALE = 0.08  # either way, of the logarithm
CROP = (0.78, 0.92)  # of the window's edges; what is cut out is enlarged to the window
SHIFT = 0.1  # of the window's edges, also beyond the border of the case
ELASTIC = (0.2, 0.7)  # voxels, mean displacement along an axis; half of it when mixed
ELASTIC_SIGMA = 6.0
GAMMA = 1.6  # and its inverse
CONTRAST = 0.3
NOISE = (0.05, 0.25)  # of the image's standard deviation
BLUR = (0.3, 1.0)  # sigma in voxels


def plant(piece: Piece, window: Sequence[int], kind: str, random: Random) -> Piece:
    """Return a window of a case, changed in one of KINDS; its mask moves with it."""
    kinds = tuple(random.choice(MIXED, AT_ONCE, replace=False)) if kind == "mixed" else (kind,)
    places = _places(piece.mask.shape, window, kinds, random)
    smooth = bool({"rotate", "scale", "crop", "elastic"} & set(kinds))
    image = np.stack([_at(channel, places, 1 if smooth else 0) for channel in piece.image])
    mask = _at(piece.mask, places, 0)
    if "flip" in kinds:
        flips = tuple(slice(None, None, int(random.choice((1, -1)))) for _ in window)
        image, mask = image[(slice(None), *flips)], mask[flips]
    image = _look(image, kinds, random)
    return Piece(
        piece.case, piece.patient, np.ascontiguousarray(image, np.float32), np.ascontiguousarray(mask)
    )


def _places(
    shape: Sequence[int], window: Sequence[int], kinds: Sequence[str], random: Random
) -> NDArray[np.float64]:
    """Return where in the case each voxel of the window comes from: (d, *window)."""
    d = len(window)
    room = np.array(shape) - np.array(window)
    corner = np.where(room > 0, random.integers(0, np.maximum(room, 0) + 1), room / 2)
    if "shift" in kinds:
        corner = corner + np.round(random.uniform(-SHIFT, SHIFT, d) * window)
    matrix = np.eye(d)
    if "rotate" in kinds:
        matrix = _rotation(d, random) @ matrix
    if "scale" in kinds:
        matrix = matrix * np.exp(random.uniform(-SCALE, SCALE))
    if "crop" in kinds:
        matrix = matrix * random.uniform(*CROP)
    wide = (d, *[1] * d)
    half = (np.reshape(window, wide) - 1) / 2
    places = np.tensordot(matrix, np.indices(tuple(window)) - half, 1) + half + corner.reshape(wide)
    if "elastic" in kinds:
        field = np.stack(
            [ndimage.gaussian_filter(random.standard_normal(tuple(window)), ELASTIC_SIGMA) for _ in range(d)]
        )
        strength = random.uniform(*ELASTIC) / (2 if len(kinds) > 1 else 1)
        places = places + strength * field / np.abs(field).mean()
    return places


def _rotation(d: int, random: Random) -> NDArray[np.float64]:
    first, second = random.choice(d, 2, replace=False)
    angle = np.deg2rad(random.uniform(-DEGREES, DEGREES))
    matrix = np.eye(d)
    matrix[first, first] = matrix[second, second] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


def _look(image: Array, kinds: Sequence[str], random: Random) -> Array:
    if "gamma" in kinds:
        low, high = float(image.min()), float(image.max())
        gamma = np.exp(random.uniform(-np.log(GAMMA), np.log(GAMMA)))
        image = ((image - low) / max(high - low, 1e-6)) ** float(gamma) * (high - low) + low
        image = image * random.uniform(1 - CONTRAST, 1 + CONTRAST) + random.uniform(-CONTRAST, CONTRAST)
    if "blur" in kinds:
        sigma = random.uniform(*BLUR)
        image = np.stack([ndimage.gaussian_filter(channel, sigma) for channel in image])
    if "noise" in kinds:
        sigma = random.uniform(*NOISE) * float(image.std())
        image = image + random.normal(0, sigma, image.shape).astype(np.float32)
    return np.asarray(image, np.float32)


def _at(array: NDArray[np.generic], places: NDArray[np.float64], order: int) -> NDArray[np.generic]:
    return np.asarray(ndimage.map_coordinates(array, places, order=order, mode="reflect"))
