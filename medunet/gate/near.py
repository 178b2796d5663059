"""The training case that a picture is most like, wherever it lies and however it is turned, in four numbers.

Three stages, each on what the one before has left: all windows of all cases on a coarse scale (`index`), the
likeliest cases at all small shifts, and the best of these laid over the picture by an affine map (`align`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medunet.gate.align import align, correlation
from medunet.gate.index import COARSER, MARGIN, Index, Place
from medunet.gate.views import View

LIKELIEST = 40  # cases that are compared at all shifts
LAID_OVER = 3  # of them that are laid over the picture
SLACK = 4  # compared voxels around a window: the index is exact to COARSER, half of it on average
BATCH = 48  # pictures that are aligned at once


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
        self.margin = [max(1, n // COARSER // MARGIN) * COARSER + SLACK for n in window]
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
        rows: list[tuple[int, Place]] = []
        for number, (picture, cases) in enumerate(zip(pictures, without, strict=True)):
            rows += [(number, place) for place in self._likeliest(picture, cases)]
        turned = [_stack(pictures[number].turned(place.turn)) for number, place in rows]
        regions = torch.stack([self._region(place) for _, place in rows])
        templates = torch.stack(turned)
        laid = align(templates[:, 0], regions[:, 0], regions[:, 3], regions[:, 1:3])
        texture = correlation(templates[:, 1].flatten(1), laid.others[:, 0], laid.known)
        dice = _dice(templates[:, 2].flatten(1), laid.others[:, 1], laid.known)
        best: dict[int, Near] = {}
        for row, (number, place) in enumerate(rows):
            numbers = (float(laid.correlation[row]), float(texture[row]), float(dice[row]))
            found = Near(place.case, *numbers, place.similarity)
            if number not in best or found.likeness > best[number].likeness:
                best[number] = found
        return [best[number] for number in range(len(pictures))]

    def _likeliest(self, picture: View, without: Sequence[int]) -> list[Place]:
        """Return the places that are best when shifted a little, with corners moved there."""
        places = self.index.places(picture, LIKELIEST, without)
        templates = torch.stack([_stack(picture.turned(place.turn))[:2] for place in places])
        regions = torch.stack([self._region(place)[:2] for place in places])
        like = shifted_correlation(templates.flatten(0, 1), regions.flatten(0, 1))
        like = like.unflatten(0, (len(places), 2)).sum(1)
        best, where = like.flatten(1).max(1)
        shifts = np.stack(np.unravel_index(where.numpy(), like.shape[1:]), 1) - SLACK
        out = []
        for row in best.argsort(descending=True)[:LAID_OVER].tolist():
            place = places[row]
            corner = tuple(int(n) for n in np.add(place.corner, shifts[row]))
            out.append(Place(place.case, place.turn, corner, place.similarity))
        return out

    def _region(self, place: Place) -> Tensor:
        padded = self.padded[place.case]
        box = []
        for axis, (corner, size, margin) in enumerate(
            zip(place.corner, self.window, self.margin, strict=True)
        ):
            last = padded.shape[axis + 1] - size - 2 * SLACK
            first = min(max(corner + margin - SLACK, 0), last)  # moved by a shift, it may touch the rim
            box.append(slice(first, first + size + 2 * SLACK))
        return padded[(slice(None), *box)]

    def _padded(self, view: View) -> Tensor:
        around = [(n, n) for n in self.margin]
        images = [np.pad(a, around, mode="reflect") for a in (view.image, view.texture, view.foreground)]
        known = np.pad(np.ones_like(view.image), around)
        return torch.from_numpy(np.stack([*images, known]).astype(np.float32))


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
    pool = functional.avg_pool2d if d == 2 else functional.avg_pool3d
    mean = pool(regions[:, None], size, 1)[:, 0]
    square = pool(regions.square()[:, None], size, 1)[:, 0]
    spread = ((square - mean.square()).clamp(min=0) * count).sqrt() + 1e-3
    return cross / spread


def _stack(view: View) -> Tensor:
    return torch.from_numpy(np.stack([view.image, view.texture, view.foreground]))


def _dice(a: Tensor, b: Tensor, known: Tensor) -> Tensor:
    a, b = a * known, (b > 0.5).float() * known
    both = a.sum(1) + b.sum(1)
    return (2 * (a * b).sum(1) / both.clamp(min=1e-6)).where(both > 0, torch.tensor(0.0))
