"""One picture of one case: the image, and the outlines of truth and prediction on it.

Colours are told apart with any colour vision (Okabe and Ito): truth blue, prediction orange, white where the
two outlines coincide. 3D: the axial, coronal and sagittal slice with most truth, the patient's right on the
left as radiologists look at it. 2D: the whole image, and a magnified part where they differ most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, find_objects, uniform_filter

from medunet.workflows.canvas import (
    Picture,
    above,
    beside,
    frame,
    letter,
    outline,
    resize_image,
    resize_mask,
)

TRUTH = (86, 180, 233)
PREDICTION = (230, 159, 0)
BOTH = (255, 255, 255)
FRAME = (240, 228, 66)

PANEL_PIXELS = 360  # longest edge of a panel of a 3D case
PANEL_2D_PIXELS = (420, 640)  # greatest height and width of a panel of a 2D case
MARGIN_MM = 15.0  # shown around a structure, at least
RING_MM = 10.0  # around a structure: what the grey values are fitted to
DETAIL_SHARE = 0.2  # of the longer edge of a 2D image is magnified
DETAIL_VOXELS = 64  # at least

Slice = tuple[slice, ...]
Planes = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]  # image, truth, prediction


@dataclass(frozen=True)
class View:
    """A slice as it is shown: rows from top to bottom, columns from left to right."""

    image: NDArray[Any]  # (C, H, W)
    truth: NDArray[Any]  # (H, W)
    prediction: NDArray[Any]
    pixel_mm: tuple[float, float]  # height and width of a voxel
    letters: str = ""  # left, right, top, bottom

    @classmethod
    def of(cls, planes: Planes, pixel_mm: tuple[float, float], letters: str = "") -> View:
        """Return the view of arrays with the axes (across, up) last; across becomes the columns."""
        image, truth, prediction = (np.swapaxes(plane, -1, -2) for plane in planes)
        return cls(image, truth, prediction, pixel_mm, letters)

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width of the slice."""
        height, width = self.truth.shape
        return height * self.pixel_mm[0], width * self.pixel_mm[1]


def overlay(
    image: NDArray[Any], truth: NDArray[Any], prediction: NDArray[Any], spacing_mm: tuple[float, ...]
) -> Picture:
    """Return a picture (H, W, 3) of an image (C, X, Y[, Z]) in RAS+ and two masks (X, Y[, Z]), to scale."""
    if truth.ndim == 2:
        return _picture_2d(View.of((image, truth, prediction), (spacing_mm[1], spacing_mm[0])))
    views = _views_3d(image, truth, prediction, spacing_mm)
    pixels_per_mm = PANEL_PIXELS / max(edge for view in views for edge in view.size_mm)
    plain = [_panel(view, pixels_per_mm, outlines=False) for view in views]
    drawn = [_panel(view, pixels_per_mm, outlines=True) for view in views]
    return above([beside(plain), beside(drawn)])


def _views_3d(
    image: NDArray[Any], truth: NDArray[Any], prediction: NDArray[Any], spacing_mm: tuple[float, ...]
) -> list[View]:
    box = _box_shown((truth > 0) | (prediction > 0), spacing_mm)
    image, truth, prediction = image[:, *box], truth[box], prediction[box]
    views = []
    for axis, letters in ((2, "RLAP"), (1, "RLSI"), (0, "APSI")):
        index = _fullest(truth, prediction, axis)
        across, up = (other for other in range(3) if other != axis)
        image_plane, *mask_planes = (
            np.take(array, index, axis=axis + array.ndim - 3)[..., ::-1, ::-1]
            for array in (image, truth, prediction)
        )
        planes = (image_plane, mask_planes[0], mask_planes[1])
        views.append(View.of(planes, (spacing_mm[up], spacing_mm[across]), letters))
    return views


def _box_shown(marked: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> Slice:
    found = find_objects(marked.astype(np.uint8), 1)[0]
    if found is None:
        return tuple(slice(0, n) for n in marked.shape)
    box = []
    for edge, size, step_mm in zip(found, marked.shape, spacing_mm, strict=True):
        margin = int(np.ceil(max(MARGIN_MM / step_mm, 0.5 * (edge.stop - edge.start))))
        box.append(slice(max(0, edge.start - margin), min(size, edge.stop + margin)))
    return tuple(box)


def _fullest(truth: NDArray[Any], prediction: NDArray[Any], axis: int) -> int:
    """Return the slice with most truth, else with most prediction, else the middle one."""
    others = tuple(other for other in range(3) if other != axis)
    for mask in (truth, prediction):
        counts = np.count_nonzero(mask, axis=others)
        if counts.any():
            return int(np.argmax(counts))
    return int(truth.shape[axis] // 2)


def _picture_2d(view: View) -> Picture:
    box = _detail(view)
    part = View(view.image[:, *box], view.truth[box], view.prediction[box], view.pixel_mm)
    scale = min(most / edge for most, edge in zip(PANEL_2D_PIXELS, view.size_mm, strict=True))
    if part.truth.shape == view.truth.shape:
        return beside([_panel(view, scale, outlines=False), _panel(view, scale, outlines=True)])
    whole = _panel(view, scale, outlines=True)
    rows, columns = (
        slice(round(edge.start * mm * scale), round(edge.stop * mm * scale))
        for edge, mm in zip(box, view.pixel_mm, strict=True)
    )
    frame(whole, (rows, columns), FRAME)
    close = min(whole.shape[0] / part.size_mm[0], PANEL_2D_PIXELS[1] / part.size_mm[1])
    return beside([whole, _panel(part, close, outlines=False), _panel(part, close, outlines=True)])


def _detail(view: View) -> tuple[slice, slice]:
    """Return the part of a 2D image where truth and prediction differ most."""
    edge = max(DETAIL_VOXELS, round(DETAIL_SHARE * max(view.truth.shape)))
    different = view.truth != view.prediction
    if not different.any():
        different = view.truth > 0
    density = uniform_filter(different.astype(np.float32), edge, mode="constant")
    centre = np.unravel_index(int(np.argmax(density)), density.shape)
    starts = [
        int(np.clip(c - edge // 2, 0, max(0, size - edge)))
        for c, size in zip(centre, density.shape, strict=True)
    ]
    rows, columns = (slice(start, start + edge) for start in starts)
    return rows, columns


def _panel(view: View, pixels_per_mm: float, *, outlines: bool) -> Picture:
    height, width = (max(1, round(edge * pixels_per_mm)) for edge in view.size_mm)
    picture = _grey(view, (height, width))
    if outlines:
        thick = 2 if min(view.pixel_mm) * pixels_per_mm >= 3 else 1
        of_truth, of_prediction = (
            outline(resize_mask(mask, (height, width)), thick) for mask in (view.truth, view.prediction)
        )
        picture[of_truth] = TRUTH
        picture[of_prediction] = PREDICTION
        picture[of_truth & of_prediction] = BOTH
    for glyph, place in zip(view.letters, ("left", "right", "top", "bottom"), strict=False):
        letter(picture, glyph, place)
    return picture


def _grey(view: View, shape: tuple[int, int]) -> Picture:
    """Return the slice as a picture: colour images as they are, others over the range near the structures."""
    colour = len(view.image) == 3
    shown = view.image if colour else view.image[:1]
    low, high = _window(shown, view)
    scaled = (resize_image(shown, shape) - low) / max(high - low, 1e-12)
    pixels = np.nan_to_num(np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(pixels, (3, *shape)), 0, -1))


def _window(shown: NDArray[Any], view: View) -> tuple[float, float]:
    """Return the values that become black and white."""
    if len(shown) == 3 and shown.min() >= 0 and shown.max() <= 255 and shown.max() > 1:
        return 0.0, 255.0
    marked = (view.truth > 0) | (view.prediction > 0)
    if marked.any():
        around = max(2, round(RING_MM / min(view.pixel_mm)))
        near = binary_dilation(marked, iterations=min(around, 40))
        values = shown[:, near]
    else:
        values = shown
    low, high = np.nanpercentile(values, [0.5, 99.5])
    return float(low - 0.1 * (high - low)), float(high + 0.1 * (high - low))
