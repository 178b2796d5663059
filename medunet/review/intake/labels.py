"""What the values of a mask mean, in which colour they are shown, and how a mask is read."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from medunet.config.card import LARGEST_LABEL, Card, MaskRule
from medunet.errors import DataError
from medunet.io.check import same_grid
from medunet.io.doors import source_of, stored_of
from medunet.io.labels import LARGEST_STORED
from medunet.io.read import is_drawn, read_mask
from medunet.io.volume import Array, Volume
from medunet.review.cases import LabelInfo

# Okabe and Ito, "Color universal design", 2008: told apart by readers who see fewer colours; no black, which
# is the background, and the strongest first.
PALETTE = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
GOLDEN = 0.618033988749895  # of the colour circle: neighbours in a long list stay apart
LARGEST_OBJECT = 65535


def colour_of(position: int) -> str:
    """Return the colour of a label by its place in the list, from 0.

    >>> colour_of(0), colour_of(7)
    ('#e69f00', '#f27973')
    """
    if position < len(PALETTE):
        return PALETTE[position]
    extra = position - len(PALETTE)
    rgb = colorsys.hsv_to_rgb((0.0075 + extra * GOLDEN) % 1.0, 0.525 + 0.2 * (extra % 3 - 0), 0.95)
    return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)


def labels_of(card: Card | None, names: Mapping[int, str], mask: Array | None) -> dict[int, LabelInfo]:
    """Return name, colour and SNOMED CT code of each label.

    They come from the card, else from `names`, else from the values in the mask; with none, there is one.
    """
    if card is not None:
        told = {value: (label.name, label.snomed) for value, label in card.labels.items()}
    else:
        values = sorted(names) or ([] if mask is None else [int(v) for v in np.unique(mask) if v]) or [1]
        told = {value: (names.get(value, f"label {value}"), None) for value in values}
    return {
        value: LabelInfo(name, colour_of(position), code)
        for position, (value, (name, code)) in enumerate(told.items())
    }


def mask_on(
    path: Path, image: Volume, rule: MaskRule, card: Card | None, names: Mapping[int, str]
) -> tuple[Array, bool]:
    """Return a mask (X, Y[, Z]) on the grid of its image, and whether its values number objects.

    Labels are uint8, objects uint16. Values number objects where the rule says so; without card or names,
    where they exceed 254, or are 16-bit numbers of a picture. DataError where grids or labels do not fit.
    """
    known = (card.labels if card else names) or None
    if is_drawn(path):
        drawn = card.drawn_names if card else None
        return read_mask(path, rule=rule, labels=known, image=image, drawn_names=drawn).array, False
    objects = rule.rule == "instances"
    if not objects and known is not None:
        mask = read_mask(path, rule=rule, labels=known, image=image)
    else:
        mask = _numbers(path)
        objects = objects or _count_objects(mask)
    if problem := same_grid(image, mask):
        raise DataError(f"{path}: the mask does not lie on its image; {problem}")
    return mask.array.astype(np.uint16 if objects else np.uint8, copy=False), objects


def _count_objects(mask: Volume) -> bool:
    of_16_bits = mask.header["dtype"] in ("uint16", "int16", "int32", "uint32")
    return int(mask.array.max(initial=0)) > LARGEST_LABEL or (mask.array.ndim == 2 and of_16_bits)


def _numbers(path: Path) -> Volume:
    """Return a mask with its numbers as they are stored, up to 65535; more are numbered anew."""
    stored = stored_of(source_of(path), indices=True)
    array, layout = stored.array[..., 0], stored.layout
    if layout.channels > 1 and (stored.array != stored.array[..., :1]).any():
        raise DataError(f"{path}: the mask is in colour; expected one whole number per voxel")
    if (array != np.rint(array)).any() or array.min(initial=0) < 0 or array.max(initial=0) > LARGEST_STORED:
        raise DataError(f"{path}: the mask holds broken, negative or huge numbers; expected 0, 1, 2 ...")
    if array.max(initial=0) > LARGEST_OBJECT:
        values, where = np.unique(array, return_inverse=True)
        if len(values) > LARGEST_OBJECT:
            raise DataError(
                f"{path}: {len(values)} objects; expected at most {LARGEST_OBJECT}. Cut the image"
            )
        array = where.reshape(array.shape) + (0 if values[0] == 0 else 1)
    grid = layout.grid
    return Volume(
        np.ascontiguousarray(grid.labels_to_ras(array)),
        grid.ras_affine,
        grid,
        path,
        layout.spacing_known,
        header={"format": layout.format, "dtype": layout.dtype},
    )
