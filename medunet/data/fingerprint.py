"""What one labelled case is like, in a few numbers; remembered by content so that it is measured once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from medunet.config.base import Record, parse
from medunet.config.card import Card
from medunet.data.cases import Case
from medunet.data.pieces import pieces
from medunet.errors import DataError
from medunet.io.check import same_grid
from medunet.io.read import read_image, read_mask
from medunet.io.volume import Volume
from medunet.io.write import write_atomic

SAMPLES = 2000  # intensities kept per case, drawn inside labels
VERSION = "2"  # raise it when reading or measuring changes


class Fingerprint(Record):
    """One case. Shapes and spacing are those of the RAS+ volume."""

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    spacing_known: bool
    kind: str  # "grey" or "colour": cases of both kinds go to every fold
    label_voxels: dict[int, int]  # label of the card -> voxels
    largest_piece: dict[int, float] = {}  # label -> share of its voxels in the largest connected piece
    at_border: tuple[int, ...] = ()  # labels that end at the border of the image
    samples: tuple[
        tuple[float, ...], ...
    ]  # (n, C) intensities inside labels; of all voxels if there are none
    warnings: tuple[str, ...] = ()

    @property
    def labelled_share(self) -> float:
        """Labelled voxels over all voxels."""
        return sum(self.label_voxels.values()) / float(np.prod(self.shape))


def read_scan(case: Case, card: Card) -> Volume:
    """Return the image of a case; DataError if it has other axes than the card says."""
    source = case.images[0] if len(case.images) == 1 else case.images
    image = read_image(source, channels=card.channels, pixel_mm=card.pixel_mm)
    if len(image.shape) != card.dims:
        raise DataError(
            f"{case.images[0]}: found {len(image.shape)} spatial axes {image.shape}; "
            f"the card {card.name} says {card.dims}. Correct `dims` in the card, or split the file."
        )
    return image


def read_pair(case: Case, card: Card) -> tuple[Volume, Volume]:
    """Return image and mask of a labelled case; DataError if they do not lie on one grid."""
    if case.mask is None:
        raise DataError(f"{case.id}: has no mask.")
    image = read_scan(case, card)
    labels, names = tuple(card.labels), card.drawn_names
    mask = read_mask(case.mask, rule=card.mask, labels=labels, image=image, drawn_names=names)
    if problem := same_grid(image, mask):
        raise DataError(problem)
    return image, mask


def content_key(content: str, card: Card) -> str:
    """Return the name under which facts about a case are kept: its bytes and how the card reads them."""
    reading = card.model_dump_json(include={"channels", "labels", "mask", "pixel_mm", "dims"})
    return hashlib.sha256(f"{VERSION}|{content}|{reading}".encode()).hexdigest()[:24]


def fingerprint(case: Case, card: Card, content: str, store: Path) -> Fingerprint:
    """Return the fingerprint of a case, from `store` if it was measured before."""
    place = store / f"{content_key(content, card)}.json"
    if place.is_file():
        return parse(Fingerprint, json.loads(place.read_text(encoding="utf-8")), where=str(place))
    image, mask = read_pair(case, card)
    found = _measure(image, mask)
    with write_atomic(place) as temporary:
        temporary.write_text(found.model_dump_json(), encoding="utf-8")
    return found


def _measure(image: Volume, mask: Volume) -> Fingerprint:
    values, counts = np.unique(mask.array, return_counts=True)
    inside = np.flatnonzero(mask.array) if (mask.array > 0).any() else np.arange(mask.array.size)
    drawn = np.random.default_rng(0).choice(inside, min(SAMPLES, len(inside)), replace=False)
    flat = image.array.reshape(len(image.array), -1)
    shapes = dict(pieces(mask.array))
    colour = len(flat) > 1 and any(not np.array_equal(flat[0], channel) for channel in flat[1:])
    return Fingerprint(
        shape=image.shape,
        spacing_mm=image.spacing_mm,
        spacing_known=image.spacing_known,
        kind="colour" if colour else "grey",
        label_voxels={int(v): int(n) for v, n in zip(values, counts, strict=True) if v},
        largest_piece={label: round(piece.largest_share, 6) for label, piece in shapes.items()},
        at_border=tuple(label for label, piece in shapes.items() if piece.at_border),
        samples=tuple(tuple(float(x) for x in row) for row in flat[:, drawn].T),
        warnings=image.warnings + mask.warnings,
    )
