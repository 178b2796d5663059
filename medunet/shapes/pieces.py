"""Single pieces of a label (a lesion, a nucleus): cut out of the training masks, varied, set down again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, find_objects, generate_binary_structure

from medunet.shapes.facts import Region, pieces_of
from medunet.shapes.family import Family, Mask, Refused, Source, box_of
from medunet.shapes.warp import How, draw_warp, look, softened

LIKE = 24  # pieces nearest in size that one is drawn from
SMOOTH_VOXELS = 0.6  # on a piece before it is turned, so that its outline stays smooth
BEND = 0.06  # root mean square shift of an outline, of the piece's diameter


@dataclass(frozen=True, eq=False)
class Piece:
    """A connected part of a label in its smallest box: where it comes from, and what lies around it."""

    region: Region
    identity: str
    low: tuple[int, ...]  # first voxel of the box
    voxels: int
    around: NDArray[np.int64]  # voxels of every label in the ring around it
    whole: bool  # the edge of the source does not cut it


@dataclass(frozen=True, eq=False)
class Pool:
    """All whole pieces of a label in a family, from small to large."""

    pieces: tuple[Piece, ...]
    sizes: NDArray[np.int64]

    def like(self, voxels: int, generator: np.random.Generator) -> Piece:
        """Draw one of the pieces that are nearest in size."""
        if not self.pieces:
            raise Refused("no training mask has a whole piece of the label")
        middle = int(np.searchsorted(self.sizes, voxels))
        low = max(min(middle - LIKE // 2, len(self.pieces) - LIKE), 0)
        return self.pieces[int(generator.integers(low, min(low + LIKE, len(self.pieces))))]


@lru_cache(maxsize=1024)
def pieces_in(source: Source, label: int) -> tuple[Piece, ...]:
    """Return the pieces of a label in a source."""
    numbered, sizes = pieces_of(source.mask == label)
    found = []
    for number, box in enumerate(find_objects(numbered), start=1):
        low = tuple(part.start for part in box)
        whole = all(part.start > 0 and part.stop < n for part, n in zip(box, source.mask.shape, strict=True))
        wide = tuple(slice(max(part.start - 1, 0), part.stop + 1) for part in box)
        ring = _grown(numbered[wide] == number) & (numbered[wide] != number)
        around = np.bincount(source.mask[wide][ring], minlength=256)
        region = numbered[box] == number
        found.append(Piece(region, source.identity, low, int(sizes[number]), around, whole))
    return tuple(found)


@lru_cache(maxsize=16)
def pool_of(family: Family, label: int) -> Pool:
    """Return the pool of a label."""
    every = [p for source in family.sources for p in pieces_in(source, label) if p.whole]
    every.sort(key=lambda piece: piece.voxels)
    return Pool(tuple(every), np.array([piece.voxels for piece in every], np.int64))


def varied(
    piece: Piece,
    voxels: float,
    rotate_degrees: float,
    spacing_mm: Sequence[float],
    generator: np.random.Generator,
) -> Region:
    """Return a piece turned, flipped and bent a little, of about `voxels` voxels, in its smallest box."""
    region = piece.region
    for axis in range(region.ndim):
        region = np.flip(region, axis) if rotate_degrees >= 90 and generator.random() < 0.5 else region
    scale = float((voxels / piece.voxels) ** (1 / region.ndim))
    edges = np.asarray(spacing_mm) / min(spacing_mm)
    diameter = float((piece.voxels * np.prod(edges)) ** (1 / region.ndim))
    sigma = max(diameter / 2, 2.0)
    how = How(
        sigma_voxels=(sigma, sigma),
        shift_voxels=(0.0, BEND * diameter),
        rotate_degrees=rotate_degrees,
        scale=(scale, scale),
    )
    longest = float(np.linalg.norm(np.array(region.shape) * edges)) if rotate_degrees else 0.0
    reach = [max(longest / e, n) * max(scale, 1.0) for n, e in zip(region.shape, edges, strict=True)]
    size = [ceil(n + 2 + 6 * BEND * diameter / e) for n, e in zip(reach, edges, strict=True)]
    warp, _ = draw_warp(generator, size, spacing_mm, how)
    corner = np.array([(n - m) / 2 for n, m in zip(size, region.shape, strict=True)])
    padded = softened(np.pad(region, 2), SMOOTH_VOXELS)
    places = warp.coordinates - (corner - 2).reshape(-1, *[1] * region.ndim)
    turned = look(padded, places) > 0.5
    box = box_of(turned)
    if box is None:
        raise Refused("a piece vanished when it was made smaller")
    return np.asarray(turned[tuple(slice(a, a + n) for a, n in zip(*box, strict=True))])


def free_at(mask: NDArray[np.bool_], region: Region, low: Sequence[int]) -> bool:
    """Whether a region fits into a canvas at `low` without meeting what is taken there (cut at the edges)."""
    place, part = _overlap(mask.shape, region, low)
    return not bool((mask[place] & region[part]).any())


def put(mask: Mask, region: Region, low: Sequence[int], label: int) -> None:
    """Write a label into a canvas, in place; what lies outside is cut."""
    place, part = _overlap(mask.shape, region, low)
    mask[place][region[part]] = label


def grown(region: Region) -> Region:
    """Return a region with a ring of one voxel, in a box larger by one on every side."""
    return _grown(np.pad(region, 1))


def _grown(region: Region) -> Region:
    return np.asarray(binary_dilation(region, generate_binary_structure(region.ndim, region.ndim)))


def _overlap(
    shape: Sequence[int], region: Region, low: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return the part of a canvas that a region covers, and the part of the region that lies on it."""
    starts = [min(max(a, 0), n) for a, n in zip(low, shape, strict=True)]
    stops = [min(max(a + m, 0), n) for a, m, n in zip(low, region.shape, shape, strict=True)]
    place = tuple(slice(a, b) for a, b in zip(starts, stops, strict=True))
    return place, tuple(slice(a - c, b - c) for a, b, c in zip(starts, stops, low, strict=True))
