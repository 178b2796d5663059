"""A sheet of real scans beside synthetic ones for the same masks: what a person looks at first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medunet.workflows.canvas import Picture, above, outline, resize_image, resize_mask

COLOURS = np.array([(0, 0, 0), (86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66)])
PANEL_PIXELS = 160  # longest edge of a panel


def panels(
    image: NDArray[np.float32],
    mask: NDArray[Any],
    spacing_mm: Sequence[float],
    like: NDArray[np.float32] | None = None,
) -> list[Picture]:
    """Return an image (C, X, Y[, Z]) plain and with outlines; of 3D the slices with most labels.

    like: the image whose window of grey values is used for both.
    """
    low, high = np.percentile(image if like is None else like, (0.5, 99.5))
    scaled = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    planes = [(scaled, mask, tuple(spacing_mm))] if mask.ndim == 2 else _planes(scaled, mask, spacing_mm)
    plain, drawn = [], []
    for plane, labels, pixel_mm in planes:
        picture = _picture(plane, labels, pixel_mm)
        plain.append(picture[0])
        drawn.append(picture[1])
    return [above(plain, 2), above(drawn, 2)]


def _planes(
    image: NDArray[np.float32], mask: NDArray[Any], spacing_mm: Sequence[float]
) -> list[tuple[NDArray[Any], NDArray[Any], tuple[float, ...]]]:
    """Return the axial and the sagittal slice with most labels."""
    out = []
    for axis in (2, 0):
        counts = np.count_nonzero(mask, axis=tuple(a for a in range(3) if a != axis))
        index = int(counts.argmax()) if counts.any() else mask.shape[axis] // 2
        rest = tuple(spacing_mm[a] for a in range(3) if a != axis)
        out.append((np.take(image, index, axis + 1), np.take(mask, index, axis), rest))
    return out


def _picture(plane: NDArray[Any], labels: NDArray[Any], pixel_mm: Sequence[float]) -> tuple[Picture, Picture]:
    extent = [n * edge for n, edge in zip(labels.shape, pixel_mm, strict=True)]
    shape = tuple(max(1, round(PANEL_PIXELS * e / max(extent))) for e in extent)
    grey = resize_image(plane, (shape[0], shape[1]))
    colour = grey[:3] if len(grey) >= 3 else np.repeat(grey[:1], 3, 0)
    picture = np.rint(255 * np.clip(colour, 0, 1)).astype(np.uint8).transpose(1, 2, 0)
    mask = resize_mask(labels, (shape[0], shape[1]))
    rim = outline(mask, 1)
    drawn = picture.copy()
    drawn[rim] = COLOURS[1 + (mask[rim].astype(int) - 1) % (len(COLOURS) - 1)]
    # columns across, rows from top to bottom: Y points up in RAS+
    return tuple(np.ascontiguousarray(p.transpose(1, 0, 2)[::-1]) for p in (picture, drawn))  # type: ignore[return-value]
