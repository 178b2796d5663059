"""What a reader wants to know of a mask while it is open: volumes, pieces, agreement with another mask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from medunet.data.pieces import pieces
from medunet.geometry import voxel_volume_ml
from medunet.io.volume import Array
from medunet.metrics.measures import dice, hd95_mm
from medunet.metrics.pair import merged, pair_of, pairs


@dataclass(frozen=True)
class Row:
    """One label. volume_ml is None in 2D or where the voxel size is unknown, area_mm2 in 3D likewise.

    dice and hd95_mm compare with the reference; None where there is none, or the label is in neither.
    """

    voxels: int
    volume_ml: float | None
    area_mm2: float | None
    pieces: int
    dice: float | None
    hd95_mm: float | None


@dataclass(frozen=True)
class Panel:
    """Rows by label value, and what holds for all labels; `objects` only where values number them."""

    rows: dict[int, Row]
    changed_voxels: int | None
    foreground_dice: float | None
    objects: int | None = None

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)


def panel(
    mask: Array,
    reference: Array | None,
    labels: Sequence[int],
    spacing_mm: Sequence[float],
    *,
    spacing_known: bool = True,
    instances: bool = False,
    distances: bool = True,
) -> Panel:
    """Measure a mask (X, Y[, Z]) against a reference on the same grid, such as the model's.

    instances: values number objects of the first label. distances: also HD95, which takes seconds on large
    masks. Conventions for empty masks are those of `medunet.metrics`.
    """
    objects = len(np.unique(mask[mask > 0])) if instances else None
    if instances:
        changed = _changed(mask, reference)
        mask, reference = _binary(mask), None if reference is None else _binary(reference)
        labels = labels[:1]
    else:
        changed = _changed(mask, reference)
    found = dict(pieces(mask))
    unit = voxel_volume_ml(spacing_mm) if spacing_known else math.nan
    compared = {} if reference is None else _compared(mask, reference, labels, spacing_mm, distances)
    rows = {}
    for value in labels:
        piece = found.get(value)
        voxels = 0 if piece is None else piece.voxels
        size = None if math.isnan(unit) else voxels * unit
        rows[value] = Row(
            voxels,
            size if mask.ndim == 3 else None,
            size * 1000.0 if size is not None and mask.ndim == 2 else None,
            0 if piece is None else piece.count,
            *compared.get(value, (None, None)),
        )
    return Panel(rows, changed, _foreground(mask, reference, labels, spacing_mm), objects)


def _compared(
    mask: Array, reference: Array, labels: Sequence[int], spacing_mm: Sequence[float], distances: bool
) -> Mapping[int, tuple[float | None, float | None]]:
    found = zip(labels, pairs(reference, mask, labels, spacing_mm), strict=True)
    return {
        value: (_number(dice.measure(pair)), _number(hd95_mm.measure(pair)) if distances else None)
        for value, pair in found
    }


def _foreground(
    mask: Array, reference: Array | None, labels: Sequence[int], spacing_mm: Sequence[float]
) -> float | None:
    if reference is None:
        return None
    both = [merged(one, labels) for one in (reference, mask)]
    return _number(dice.measure(pair_of(both[0], both[1], 1, spacing_mm)))


def _changed(mask: Array, reference: Array | None) -> int | None:
    return None if reference is None else int(np.count_nonzero(mask != reference))


def _binary(mask: Array) -> Array:
    return (mask > 0).astype(np.uint8)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
