"""The training case that a picture is most like, wherever it lies and however it is turned, in four numbers.

Three stages, each on what the one before has left: all windows of all cases on a coarse scale (`index`), the
likeliest places at all small shifts, and the best of these laid over the picture by an affine map (`align`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from medunet.gate.align import align
from medunet.gate.index import ZOOMS, Index, Place, margin, part
from medunet.gate.views import Array, View, flat_below, root

LIKELIEST = {2: 500, 3: 60}  # places per zoom that are compared at all shifts
LAID_OVER = {2: 24, 3: 4}  # of them that are laid over the picture
SLACK = 4  # compared voxels around a window: the index is exact to COARSER, half of it on average
GREY, FOREGROUND, KNOWN = range(3)  # channels of a padded case
OF_PATIENT = {2: 4, 3: 2}  # of one patient at most: it takes two patients to tell who is nearer
RIVAL = 0.5  # of the likeness of the nearest other patient counts against; all of it is too noisy a figure
CLIPPED = 0.9999  # correlations, for their arctanh
BATCH = 32  # pictures that are aligned at once


@dataclass(frozen=True)
class Near:
    """The nearest training case."""

    case: int
    image: float  # correlation of local contrast after alignment; 1 for the case itself
    texture: float  # correlation of what the masks do not explain
    mask: float  # Dice of the foregrounds as they lie
    rival: float = 0.0  # likeness of the nearest case of another patient, on the scale of Fisher's z

    @property
    def likeness(self) -> float:
        """Mean of both correlations on the scale of Fisher's z; a mask may be borrowed and has no say."""
        return float(np.arctanh(np.clip([self.image, self.texture], -CLIPPED, CLIPPED)).mean())

    @property
    def closeness(self) -> float:
        """How much nearer than what all such pictures have: a cell on black is like many another cell."""
        return self.likeness - RIVAL * self.rival


class Memory:
    """Training cases, ready to be searched."""

    def __init__(self, views: Sequence[View], patients: Sequence[str], window: Sequence[int]) -> None:
        """Take views that are at least as large as the window (in compared voxels), and whose they are."""
        self.window, self.patients = tuple(window), tuple(patients)
        self.indices = [Index.build(views, window, zoom) for zoom in ZOOMS]
        rims = np.max([self._rim(zoom) for zoom in ZOOMS], axis=0)
        self.margin = [n + int(rim) + 2 * SLACK for n, rim in zip(margin(window), rims, strict=True)]
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
        most = LIKELIEST[len(self.window)]
        listed = [index.places(pictures, most, without) for index in self.indices]
        rows = [
            (number, place)
            for number, picture in enumerate(pictures)
            for place in self._likeliest(picture, [of_zoom[number] for of_zoom in listed])
        ]
        turned = [pictures[number].turned(place.turn) for number, place in rows]
        regions = torch.stack([self._region(place, whole=True) for _, place in rows])
        zoom = torch.tensor([place.zoom for _, place in rows])
        templates = torch.from_numpy(np.stack([root(view.grey) for view in turned]))
        others = regions[:, [GREY, FOREGROUND]]
        laid = align(templates, roots(regions[:, GREY]), regions[:, KNOWN], others, zoom)
        found: list[list[Near]] = [[] for _ in pictures]
        for row, ((number, place), view) in enumerate(zip(rows, turned, strict=True)):
            grey, foreground = laid.others[row].reshape(2, *view.grey.shape).numpy()
            found[number].append(compared(view, grey, foreground, laid.known[row].numpy(), place.case))
        return [self._nearest(of_picture) for of_picture in found]

    def _nearest(self, found: Sequence[Near]) -> Near:
        best = max(found, key=lambda near: near.likeness)
        whose = self.patients[best.case]
        others = [near.likeness for near in found if self.patients[near.case] != whose]
        return replace(best, rival=max(others, default=0.0))

    def _likeliest(self, picture: View, listed: Sequence[Sequence[Place]]) -> list[Place]:
        """Return the places that are best when shifted a little, moved there; listed: per zoom."""
        found: list[tuple[float, Place]] = []
        for places in filter(None, listed):
            zoom = places[0].zoom
            grey = root(picture.shrunk(zoom).middle(part(self.window, zoom)).grey)
            turned = {place.turn: torch.from_numpy(place.turn.of(grey)) for place in places}
            templates = torch.stack([turned[place.turn] for place in places])
            regions = roots(torch.stack([self._region(place)[GREY] for place in places]))
            like = shifted_correlation(templates, regions)
            best, where = like.flatten(1).max(1)
            shifts = np.stack(np.unravel_index(where.numpy(), like.shape[1:]), 1) - SLACK
            corners = shifts + [place.corner for place in places]
            for value, place, corner in zip(best.tolist(), places, corners.tolist(), strict=True):
                found.append((value, replace(place, corner=tuple(corner))))
        found.sort(key=lambda row: -row[0])
        chosen, of_patient = [], Counter[str]()
        for _, place in found:
            whose = self.patients[place.case]
            if of_patient[whose] < OF_PATIENT[len(self.window)]:
                chosen.append(place)
                of_patient[whose] += 1
        return chosen[: LAID_OVER[len(self.window)]]

    def _rim(self, zoom: float) -> list[int]:
        """Return how far the window reaches beyond the part that is looked for."""
        return [(n - m) // 2 for n, m in zip(self.window, part(self.window, zoom), strict=True)]

    def _region(self, place: Place, *, whole: bool = False) -> Tensor:
        """Return the surroundings of a place: of the part looked for, or of the window, with SLACK around."""
        box, small = [], part(self.window, place.zoom)
        for corner, size, n, rim, around in zip(
            place.corner, self.window, small, self._rim(place.zoom), self.margin, strict=True
        ):
            first = corner + around - SLACK - (rim if whole else 0)
            box.append(slice(first, first + (size if whole else n) + 2 * SLACK))
        return self.padded[place.case][(slice(None), *box)]

    def _padded(self, view: View) -> Tensor:
        around = [(n, n) for n in self.margin]
        images = [np.pad(array, around, mode="reflect") for array in (view.grey, view.foreground)]
        known = np.pad(np.ones_like(view.grey), around)
        return torch.from_numpy(np.stack([*images, known]).astype(np.float32))


def compared(view: View, grey: Array, foreground: Array, known: Array, case: int) -> Near:
    """Return how alike a picture is to what lies under it of a training image, both treated alike.

    Both get the same intensities; contrast is made local in the same window, flat in both where it is noise
    in one of them; and the same shells, those of the picture's mask, are taken away: what is left is a
    partial correlation given the mask.
    """
    grey = matched(grey, view.grey)
    least = max(flat_below(view.grey), flat_below(grey))
    (image, texture), (other, other_texture) = view.looks(least=least), view.looks(grey, least)
    drawn = foreground > 0.5
    both = float((view.foreground + drawn).sum())
    return Near(
        case,
        _correlation(image, other, known),
        _correlation(texture, other_texture, known),
        2 * float((view.foreground * drawn).sum()) / both if both else 0.0,
    )


def matched(image: Array, like: Array) -> Array:
    """Return the image with the intensities of another of its size, in its own order."""
    out = np.empty(image.size, np.float32)
    out[np.argsort(image, axis=None, kind="stable")] = np.sort(like, axis=None)
    return out.reshape(image.shape)


def roots(regions: Tensor) -> Tensor:
    """Return `root` of each of regions (B, *r)."""
    axes = tuple(range(1, regions.ndim))
    return (regions - regions.amin(axes, keepdim=True)).sqrt()


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
