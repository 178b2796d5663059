"""Doubts about a result that nobody has looked at yet, and one number to sort a worklist by.

Every doubt is a flag with a weight between 0 (nothing) and 1 (certainly wrong). The risk of a study is

    risk = 1 - (1 - w1) * (1 - w2) * ...

over its flags: 0 without any, never below the gravest, and higher the more there are. The weights are
judgements, not probabilities: they order a list, they do not measure how often results are wrong.

| flag | raised when | weight |
|---|---|---|
| empty | no label was found anywhere | 0.9; 0.3 if training cases may be empty |
| missing | a label that every training case holds was not found | 0.6 |
| volume | a label is more than 25 % outside the training volumes | 0.3 to 0.8, by how far |
| fragmented | a label's largest piece holds less of it than in any training case | 0.4 |
| cut | a label ends at the border of the image, and never did in training | 0.4 |
| spacing | voxels are more than 10 % outside the training range | 0.2 to 0.6, by how far |
| field_of_view | the image is more than a quarter outside the training extents | 0.2 to 0.5, by how far |
| intensity | the median inside labels is outside the training range (CT only) | 0.4 |
| series | several series fitted the model equally | 0.2 |
| reading | the reader had to tell something odd about the files | 0.1 |

Where a run does not keep its training ranges, a label counts as fragmented below 80 %, and `missing` and
`volume` are not raised.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medunet.config.card import Card
from medunet.data.pieces import Piece, pieces
from medunet.geometry import voxel_volume_ml
from medunet.io.volume import Volume
from medunet.studies.choose import outside
from medunet.studies.training import Training

VOLUME_FACTOR, SPACING_FACTOR, EXTENT_FACTOR = 1.25, 1.1, 1.25  # beyond the training range: not yet a doubt
INTENSITY_SHARE = 0.25  # of the width of the training range
WHOLE_SHARE = 0.8  # in the largest piece, where training does not say
PIECE_SHARE = 0.9  # of the lowest training share


@dataclass(frozen=True)
class Flag:
    """One doubt: a code, a sentence for a person, and its weight."""

    code: str
    text: str
    weight: float


def examine(
    volume: Volume, mask: NDArray[Any], card: Card, training: Training, remarks: Sequence[str] = ()
) -> list[Flag]:
    """Return the doubts about a mask (X, Y[, Z]) of card labels on the grid of its volume."""
    found = dict(pieces(mask))
    flags = [*_content(found, card, training), *_shape(found, card, training)]
    if volume.spacing_known:
        flags += [*_volumes(found, volume, card, training), *_grid(volume, training)]
    flags += _intensity(volume, mask, training)
    flags += [Flag("series", remark, 0.2) for remark in remarks]
    if volume.warnings:
        flags.append(Flag("reading", f"{len(volume.warnings)} remark(s) about the files", 0.1))
    return flags


def risk_of(flags: Sequence[Flag]) -> float:
    """Return the risk of a study; see above.

    >>> risk_of([Flag("cut", "", 0.5), Flag("series", "", 0.2)])
    0.6
    """
    return round(1.0 - math.prod(1.0 - flag.weight for flag in flags), 4)


def _content(found: Mapping[int, Piece], card: Card, training: Training) -> Iterator[Flag]:
    always = {label for label, kept in (training.labels or {}).items() if kept.always}
    if not found:
        may_be = training.labels is not None and not always
        yield Flag("empty", "no label was found", 0.3 if may_be else 0.9)
        return
    for label in sorted(always - set(found)):
        yield Flag("missing", f"{card.labels[label].name} was not found; every training case holds it", 0.6)


def _shape(found: Mapping[int, Piece], card: Card, training: Training) -> Iterator[Flag]:
    for label, piece in found.items():
        kept = (training.labels or {}).get(label)
        name = card.labels[label].name
        least = WHOLE_SHARE if kept is None else PIECE_SHARE * kept.largest_piece
        if piece.largest_share < least:
            share = f"{100 * piece.largest_share:.0f} % of it in the largest of {piece.count} pieces"
            yield Flag("fragmented", f"{name}: {share}", 0.4)
        if piece.at_border and not (kept and kept.at_border):
            yield Flag("cut", f"{name} ends at the border of the image: the field of view may cut it", 0.4)


def _volumes(found: Mapping[int, Piece], volume: Volume, card: Card, training: Training) -> Iterator[Flag]:
    unit = voxel_volume_ml(volume.spacing_mm)
    for label, piece in found.items():
        if (kept := (training.labels or {}).get(label)) is None:
            continue
        away = math.exp(outside([piece.voxels * unit], [kept.volume_ml]))
        if away > VOLUME_FACTOR:
            span = "{:.3g} to {:.3g}".format(*kept.volume_ml)
            told = f"{card.labels[label].name}: {piece.voxels * unit:.3g} ml, in training {span}"
            yield Flag("volume", told, _by_how_far(away, 0.3, 0.8))


def _grid(volume: Volume, training: Training) -> Iterator[Flag]:
    away = math.exp(outside(volume.spacing_mm, training.spacing_mm))
    if away > SPACING_FACTOR:
        told = f"voxels of {_mm(volume.spacing_mm)}, {away:.2g} times outside the training range"
        yield Flag("spacing", told, _by_how_far(away, 0.2, 0.6))
    extent = [n * edge for n, edge in zip(volume.shape, volume.spacing_mm, strict=True)]
    away = math.exp(outside(extent, training.extent_mm))
    if away > EXTENT_FACTOR:
        told = f"a field of view of {_mm(extent)}, {away:.2g} times outside the training range"
        yield Flag("field_of_view", told, _by_how_far(away, 0.2, 0.5))


def _intensity(volume: Volume, mask: NDArray[Any], training: Training) -> Iterator[Flag]:
    inside = mask > 0
    if not inside.any():
        return
    for channel, (low, high) in zip(volume.array, training.intensity, strict=False):
        middle = float(np.median(channel[inside]))
        margin = INTENSITY_SHARE * (high - low)
        if not low - margin <= middle <= high + margin:
            told = f"median {middle:.4g} inside labels, in training {low:.4g} to {high:.4g}"
            yield Flag("intensity", told, 0.4)


def _by_how_far(factor: float, least: float, most: float) -> float:
    """Return a weight that starts at `least` and reaches `most` four times outside the range."""
    return round(min(most, least + (most - least) * math.log(factor) / math.log(4.0)), 3)


def _mm(edges: Sequence[float]) -> str:
    return " x ".join(f"{edge:.3g}" for edge in edges) + " mm"
