"""Draw on pictures (H, W, 3) of bytes: resize, outline, frame, letters. No files, no fonts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, map_coordinates, uniform_filter

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

PAPER: Colour = (17, 20, 24)  # what lies between and around panels

# 5 x 7 dots, one text row a line
GLYPHS = {
    "R": "####. #...# #...# ####. #.#.. #..#. #...#",
    "L": "#.... #.... #.... #.... #.... #.... #####",
    "A": ".###. #...# #...# ##### #...# #...# #...#",
    "P": "####. #...# #...# ####. #.... #.... #....",
    "S": ".#### #.... #.... .###. ....# ....# ####.",
    "I": ".###. ..#.. ..#.. ..#.. ..#.. ..#.. .###.",
}


def resize_image(image: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return an image (C, H, W) on another grid of the same extent: linear, averaged where it shrinks."""
    factors = [old / new for old, new in zip(image.shape[1:], shape, strict=True)]
    smooth = [max(1, round(factor)) for factor in factors]
    at = np.meshgrid(
        *(_sources(old, new) for old, new in zip(image.shape[1:], shape, strict=True)), indexing="ij"
    )
    channels = [
        map_coordinates(uniform_filter(channel.astype(np.float32), smooth), at, order=1, mode="nearest")
        for channel in image
    ]
    return np.stack(channels)


def resize_mask(mask: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Return a mask (H, W) on another grid of the same extent: the nearest voxel's label."""
    rows, columns = (_sources(old, new) for old, new in zip(mask.shape, shape, strict=True))
    return np.asarray(mask[np.rint(rows).astype(int)][:, np.rint(columns).astype(int)])


def _sources(old: int, new: int) -> NDArray[np.float64]:
    """Return where the centres of `new` pixels lie on an axis of `old` voxels."""
    return np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)


def outline(mask: NDArray[Any], width: int) -> NDArray[np.bool_]:
    """Return the inner rim, `width` pixels wide, of every label of a mask (H, W)."""
    rim = np.zeros(mask.shape, bool)
    for label in np.unique(mask[mask > 0]):
        inside = mask == label
        rim |= inside & ~binary_erosion(inside, iterations=width, border_value=1)
    return rim


def frame(picture: Picture, box: tuple[slice, slice], colour: Colour, width: int = 3) -> None:
    """Draw the rim of a box into the picture."""
    inside = np.zeros(picture.shape[:2], bool)
    inside[box] = True
    picture[inside & ~binary_erosion(inside, iterations=width)] = colour


def letter(picture: Picture, glyph: str, place: str, colour: Colour = (255, 255, 255)) -> None:
    """Draw a letter with a dark rim at the middle of an edge: `left`, `right`, `top` or `bottom`."""
    size = 2
    dots = np.array([[dot == "#" for dot in row] for row in GLYPHS[glyph].split()])
    stamp = np.pad(np.kron(dots, np.ones((size, size), bool)), 2)
    height, width = stamp.shape
    if height > picture.shape[0] or width > picture.shape[1]:
        return
    row = {"top": 0, "bottom": picture.shape[0] - height}.get(place, (picture.shape[0] - height) // 2)
    column = {"left": 0, "right": picture.shape[1] - width}.get(place, (picture.shape[1] - width) // 2)
    patch = picture[row : row + height, column : column + width]
    patch[~binary_erosion(~stamp, np.ones((3, 3)), border_value=1)] = (0, 0, 0)
    patch[stamp] = colour


def beside(pictures: Sequence[Picture], gap: int = 8) -> Picture:
    """Return pictures in a row, centred in height."""
    height = max(picture.shape[0] for picture in pictures)
    width = sum(picture.shape[1] for picture in pictures) + gap * (len(pictures) - 1)
    out = np.full((height, width, 3), PAPER, np.uint8)
    column = 0
    for picture in pictures:
        row = (height - picture.shape[0]) // 2
        out[row : row + picture.shape[0], column : column + picture.shape[1]] = picture
        column += picture.shape[1] + gap
    return out


def above(pictures: Sequence[Picture], gap: int = 8) -> Picture:
    """Return pictures in a column, centred in width."""
    turned = beside([picture.transpose(1, 0, 2) for picture in pictures], gap)
    return turned.transpose(1, 0, 2)
