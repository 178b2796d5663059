"""Lesions or vessels of one training mask set into another, where such pieces may lie.

The receiving mask is bent first and its own pieces are taken away, so that neither the organ nor the sites
are those of a patient. Sites are found exactly: a convolution counts, for every place, how much of the piece
would lie on admissible ground.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import distance_transform_edt
from scipy.signal import fftconvolve

from medunet.config.base import Record
from medunet.errors import ConfigError, DataError
from medunet.shapes.bend import Bend, bent
from medunet.shapes.facts import Region, pieces_of
from medunet.shapes.family import Family, Mask, NewMask, Refused
from medunet.shapes.pieces import pieces_in, pool_of, varied
from medunet.shapes.repair import EVERY_FACT, give_away

JUDGED_BY = EVERY_FACT
PIECES = 6  # tried for one place, before it is left out
HOST_SHARE = 0.05  # of what surrounds the pieces in training: a label that is there less is no host


class Options(Record):
    """What is set where. Labels are network labels; 0 is the background."""

    label: int | None = Field(None, ge=1)  # of the pieces; None: the last label
    inside: tuple[int, ...] | None = None  # where they may lie; None: what surrounds them in training
    away_from: tuple[int, ...] = ()  # labels they must keep off, by
    distance_mm: float = Field(0.0, ge=0)
    inside_share: float = Field(0.95, gt=0, le=1)  # of a piece on admissible ground; the rest is cut off
    scale: tuple[float, float] = (0.8, 1.25)  # diameter, relative to the training
    rotate_degrees: float = Field(180.0, ge=0, le=180)
    bend: Bend = Bend()  # of the receiving mask


@dataclass(frozen=True)
class _Ground:
    """Where pieces of a label may lie in a mask."""

    label: int
    inside: tuple[int, ...]
    options: Options
    spacing_mm: tuple[float, ...]

    def of(self, mask: Mask) -> Region:
        ground = np.isin(mask, self.inside) & (mask != self.label)
        edge_mm = min(self.spacing_mm)
        for labels, distance in (
            (self.options.away_from, self.options.distance_mm),
            ((self.label,), edge_mm),
        ):
            taken = np.isin(mask, labels)
            if taken.any():
                # a gap: the distance runs between voxel centres, and the pieces must not touch
                ground &= distance_transform_edt(~taken, self.spacing_mm) > distance + edge_mm / 2
        return np.asarray(ground)


def draw(options: Options, family: Family, generator: np.random.Generator) -> NewMask:
    """Return a source, bent, with other pieces of a label than its own, as many as a third source has."""
    label = family.labels[-1] if options.label is None else options.label
    laws = [source for source in family.sources if pieces_in(source, label)]
    if not laws:
        raise ConfigError(
            f"masks.options.label: no training mask has label {label}; there are {list(family.labels)}"
        )
    if options.label is None and _is_a_part(family, label):
        raise DataError(
            f"masks.options.label: label {label} is one piece in every training mask, so a part of an "
            "organ and no lesion. Name the label that is to be transplanted, or use `blend` or `deform`."
        )
    receiver = family.draw(generator)
    sizes = sorted((p.voxels for p in pieces_in(laws[generator.integers(len(laws))], label)), reverse=True)
    mask, facts = bent(receiver, options.bend, family, generator)
    _clear(mask, label)
    inside = hosts_of(family, label) if options.inside is None else options.inside
    ground = _Ground(label, inside, options, family.spacing_mm)
    donors = {family.sources[receiver].identity: None}
    placed = 0
    for voxels in sizes:
        donor = _set(mask, voxels, ground, family, generator)
        placed += donor is not None
        donors |= {donor: None} if donor else {}
    if placed == 0:
        raise Refused(f"no admissible site for a piece of label {label} inside label(s) {list(inside)}")
    return NewMask(mask, tuple(donors), facts | {"label": label, "wanted": len(sizes), "placed": placed})


def hosts_of(family: Family, label: int) -> tuple[int, ...]:
    """Return the labels that surround the pieces of a label in the training masks; 0: the background."""
    around = sum(piece.around for source in family.sources for piece in pieces_in(source, label))
    share = np.asarray(around) / max(np.sum(around), 1)
    return tuple(int(host) for host in np.flatnonzero(share >= HOST_SHARE))


def _is_a_part(family: Family, label: int) -> bool:
    rule = family.rules.labels.get(label)
    return rule is not None and rule.always and rule.ranges["pieces"] == (1, 1)


def _clear(mask: Mask, label: int) -> None:
    """Give the pieces of a label to what surrounds each, in place."""
    numbered, sizes = pieces_of(mask == label)
    for number in range(1, len(sizes)):
        give_away(mask, np.argwhere(numbered == number))


def _set(
    mask: Mask, voxels: int, ground: _Ground, family: Family, generator: np.random.Generator
) -> str | None:
    """Set one piece of about so many voxels, in place; return its source, or None where nothing fitted."""
    options, free = ground.options, ground.of(mask)
    for _ in range(PIECES):
        piece = pool_of(family, ground.label).like(voxels, generator)
        size = voxels * float(generator.uniform(*options.scale)) ** mask.ndim
        region = varied(piece, size, options.rotate_degrees, family.spacing_mm, generator)
        if any(n > room for n, room in zip(region.shape, mask.shape, strict=True)):
            continue
        low = _site(free, region, options.inside_share, generator)
        if low is not None:
            place = tuple(slice(a, a + n) for a, n in zip(low, region.shape, strict=True))
            mask[place][region & free[place]] = ground.label
            return piece.identity
    return None


def _site(
    free: Region, region: Region, share: float, generator: np.random.Generator
) -> NDArray[np.int64] | None:
    """Draw one of all the places where enough of a region lies on free ground; None: there is none."""
    flipped = region[(slice(None, None, -1),) * region.ndim].astype(np.float32)
    inside = fftconvolve(free.astype(np.float32), flipped, mode="valid")
    sites = np.argwhere(inside >= share * region.sum() - 0.5)
    return sites[generator.integers(len(sites))] if len(sites) else None
