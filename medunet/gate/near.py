"""The training case that a picture is most like, wherever it lies and however it is turned, in four numbers.

Three stages, each on what the one before has left: all windows of all cases on a coarse scale (`index`), the
likeliest places at all small shifts, and the best of these laid over the picture by an affine map (`align`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medunet.gate.align import align
from medunet.gate.index import Index, Place, inner, margin
from medunet.gate.views import Array, View, local_contrast, unexplained

LIKELIEST = {2: 500, 3: 100}  # places that are compared at all shifts
LAID_OVER = {2: 10, 3: 4}  # of them that are laid over the picture
SLACK = 4  # compared voxels around a window: the index is exact to COARSER, half of it on average
GREY, IMAGE, TEXTURE, FOREGROUND, KNOWN = range(5)  # channels of a padded case
BATCH = 32  # pictures that are aligned at once


@dataclass(frozen=True)
class Near:
    """The nearest training case; all numbers are 1 for the case itself."""

    case: int
    image: float  # correlation of local contrast after alignment
    texture: float  # correlation of what the masks do not explain
    mask: float  # Dice of the foregrounds as they lie
    features: float  # correlation in the index's description

    @property
    def likeness(self) -> float:
        """One number for the images, the mean of both correlations; a mask may be borrowed and has no say."""
        return (self.image + self.texture) / 2


class Memory:
    """Training cases, ready to be searched."""

    def __init__(self, views: Sequence[View], window: Sequence[int]) -> None:
        """Take views that are at least as large as the window (in compared voxels)."""
        self.window = tuple(window)
        self.index = Index.build(views, window)
        self.inner = inner(window)
        self.rim = [(n - m) // 2 for n, m in zip(window, self.inner, strict=True)]
        self.margin = [n + rim + 2 * SLACK for n, rim in zip(margin(window), self.rim, strict=True)]
        self.padded = [self._padded(view) for view in views]

    def near(self, pictures: Sequence[View], without: Sequence[Sequence[int]] = ()) -> list[Near]:
        """Return the nearest case of each picture; `without`: cases that do not count, per picture."""
        left_out = without or [()] * len(pictures)
        out: list[Near] = []
        for start in range(0, len(pictures), BATCH):
            chunk = range(start, min(start + BATCH, len(pictures)))
            out += self._near([pictures[n] for n in chunk], [left_out[n] for n in chunk])
        return out

    def _near(self, pictures: Sequence[View], without: Sequence[Sequence[int]]) -> list[Near]:
        listed = self.index.places(pictures, LIKELIEST[len(self.window)], without)
        rows = [
            (number, place)
            for number, (picture, places) in enumerate(zip(pictures, listed, strict=True))
            for place in self._likeliest(picture, places)
        ]
        turned = [pictures[number].turned(place.turn) for number, place in rows]
        regions = torch.stack([self._region(place, whole=True) for _, place in rows])
        zoom = torch.tensor([place.zoom for _, place in rows])
        templates = torch.from_numpy(np.stack([view.image for view in turned]))
        others = regions[:, [GREY, FOREGROUND]]
        laid = align(templates, regions[:, IMAGE], regions[:, KNOWN], others, zoom)
        best: dict[int, Near] = {}
        for row, ((number, place), view) in enumerate(zip(rows, turned, strict=True)):
            grey, foreground = laid.others[row].reshape(2, *view.image.shape).numpy()
            found = compared(view, grey, foreground, laid.known[row].numpy(), place)
            if number not in best or found.likeness > best[number].likeness:
                best[number] = found
        return [best[number] for number in range(len(pictures))]

    def _likeliest(self, picture: View, places: Sequence[Place]) -> list[Place]:
        """Return the places that are best when shifted a little, with corners moved there."""
        ways = {(place.turn, place.zoom) for place in places}
        shrunk = {zoom: picture.shrunk(zoom).middle(self.inner) for _, zoom in ways}
        views = {(turn, zoom): shrunk[zoom].turned(turn) for turn, zoom in ways}
        of_way = {way: torch.from_numpy(np.stack([v.image, v.texture])) for way, v in views.items()}
        templates = torch.stack([of_way[place.turn, place.zoom] for place in places])
        regions = torch.stack([self._region(place)[[IMAGE, TEXTURE]] for place in places])
        like = shifted_correlation(templates.flatten(0, 1), regions.flatten(0, 1))
        like = like.unflatten(0, (len(places), 2)).sum(1)
        best, where = like.flatten(1).max(1)
        shifts = np.stack(np.unravel_index(where.numpy(), like.shape[1:]), 1) - SLACK
        out = []
        for row in best.argsort(descending=True)[: LAID_OVER[len(self.window)]].tolist():
            corner = tuple(int(n) for n in np.add(places[row].corner, shifts[row]))
            out.append(replace(places[row], corner=corner))
        return out

    def _region(self, place: Place, *, whole: bool = False) -> Tensor:
        """Return the surroundings of a place: of its inner window, or of the whole one, with SLACK around."""
        box = []
        for corner, size, part, rim, around in zip(
            place.corner, self.window, self.inner, self.rim, self.margin, strict=True
        ):
            first = corner + around - SLACK - (rim if whole else 0)
            box.append(slice(first, first + (size if whole else part) + 2 * SLACK))
        return self.padded[place.case][(slice(None), *box)]

    def _padded(self, view: View) -> Tensor:
        around = [(n, n) for n in self.margin]
        arrays = (view.grey, view.image, view.texture, view.foreground)
        images = [np.pad(array, around, mode="reflect") for array in arrays]
        known = np.pad(np.ones_like(view.image), around)
        return torch.from_numpy(np.stack([*images, known]).astype(np.float32))


def compared(view: View, grey: Array, foreground: Array, known: Array, place: Place) -> Near:
    """Return how alike a picture is to what lies under it of a training image, both treated alike.

    Contrast is made local in the same window, and the same shells, those of the picture's mask, are taken
    away from both: what is left is a partial correlation given the mask.
    """
    contrast = local_contrast(grey)
    texture = unexplained(contrast, view.shell.astype(np.intp))
    drawn = foreground > 0.5
    both = float((view.foreground + drawn).sum())
    return Near(
        place.case,
        _correlation(view.image, contrast, known),
        _correlation(view.texture, texture, known),
        2 * float((view.foreground * drawn).sum()) / both if both else 0.0,
        place.similarity,
    )


def _correlation(a: Array, b: Array, weight: Array) -> float:
    a, b, weight = a.ravel(), b.ravel(), weight.ravel() / max(float(weight.sum()), 1e-6)
    a, b = a - (a * weight).sum(), b - (b * weight).sum()
    norm = np.sqrt((a * a * weight).sum() * (b * b * weight).sum())
    return float((a * b * weight).sum() / (norm + 1e-6))


def shifted_correlation(templates: Tensor, regions: Tensor) -> Tensor:
    """Return the correlation of templates (B, *t) with regions (B, *r) at every shift: (B, *(r - t + 1))."""
    size, d = templates.shape[1:], templates.ndim - 1
    axes, count = tuple(range(1, d + 1)), templates[0].numel()
    template = templates - templates.mean(axes, keepdim=True)
    template = template / (template.square().sum(axes, keepdim=True).sqrt() + 1e-6)
    shape = regions.shape[1:]
    spectrum = torch.fft.rfftn(regions, dim=axes) * torch.fft.rfftn(template, s=shape, dim=axes).conj()
    cross = torch.fft.irfftn(spectrum, s=shape, dim=axes)
    cross = cross[(slice(None), *(slice(0, r - t + 1) for r, t in zip(shape, size, strict=True)))]
    total, square = _window_sums(regions, size), _window_sums(regions.square(), size)
    spread = (square - total.square() / count).clamp(min=0).sqrt() + 1e-3
    return cross / spread


def _window_sums(regions: Tensor, size: Sequence[int]) -> Tensor:
    """Return the sums over all windows of a size, axis by axis: (B, *(r - t + 1))."""
    out = regions.double()
    for axis, n in enumerate(size, start=1):
        summed = functional.pad(out.movedim(axis, -1).cumsum(-1), (1, 0))
        out = (summed[..., n:] - summed[..., :-n]).movedim(-1, axis)
    return out.float()
