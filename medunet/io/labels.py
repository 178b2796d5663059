"""From stored mask values to the labels of a card."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medunet.config.card import MaskRule
from medunet.errors import DataError
from medunet.io.volume import Array

LARGEST_STORED = 2**31 - 1
PIECE = 2**20  # voxels counted at a time


def to_labels(path: Path, stored: Array, rule: MaskRule, labels: Collection[int] | None) -> Array:
    """Return uint8 labels of the same shape; DataError names each value that is none and counts it."""
    _check_whole(path, stored, nearest=rule.rule == "nearest")
    if rule.rule == "instances":
        return (stored > 0).astype(np.uint8)
    if rule.rule == "nearest":
        return _nearest(stored, rule.values)
    return _exact(path, stored, rule.values, labels)


def _check_whole(path: Path, stored: Array, *, nearest: bool) -> None:
    """Refuse NaN, negative and, unless they will be rounded, fractional values."""
    if stored.dtype.kind == "f":
        if count := int(np.count_nonzero(~np.isfinite(stored))):
            raise DataError(f"{path}: {count} voxels of the mask are NaN or infinite; expected whole numbers")
        broken = np.zeros(0) if nearest else stored[stored != np.rint(stored)]
        if broken.size:
            raise DataError(
                f"{path}: {broken.size} voxels of the mask are not whole numbers, such as "
                f"{float(broken.flat[0]):g}; expected labels "
                "(resample masks with nearest neighbour; is this the image?)"
            )
        if stored.size and float(stored.max()) > LARGEST_STORED:
            raise DataError(
                f"{path}: the mask holds the value {float(stored.max()):g}; expected labels up to 255"
            )
    if stored.dtype.kind != "u" and (count := int(np.count_nonzero(stored < 0))):
        raise DataError(
            f"{path}: {count} voxels of the mask are negative, down to {stored.min():g}; expected >= 0"
        )


def _nearest(stored: Array, values: dict[int, int]) -> Array:
    keys = np.array(sorted(values))
    targets = np.array([values[int(key)] for key in keys], np.uint8)
    edges = (keys[1:] + keys[:-1]) / 2.0  # a value half-way goes to the lower key
    return targets[np.digitize(stored, edges, right=True)]


def _exact(path: Path, stored: Array, values: dict[int, int], labels: Collection[int] | None) -> Array:
    found, counts = _histogram(stored)
    mapping = {0: 0, **values} if values else {int(value): int(value) for value in found}
    allowed = set(range(256)) if labels is None else {0, *labels}
    table = {stored_value: label for stored_value, label in mapping.items() if label in allowed}
    unknown = {int(v): int(n) for v, n in zip(found, counts, strict=True) if int(v) not in table}
    if unknown:
        said = ", ".join(f"{value} ({n} voxels)" for value, n in list(unknown.items())[:8])
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        raise DataError(
            f"{path}: the mask holds values that are no label: {said}{more}; expected "
            f"{_short(table, allowed, values)}. Correct the mask, or the card (labels, mask.values)"
        )
    if not values:
        return stored.astype(np.uint8)
    out = np.zeros(stored.shape, np.uint8)
    for value, label in table.items():
        if label:
            out[stored == value] = label
    return out


def _histogram(stored: Array) -> tuple[Array, Array]:
    """Return values and counts; numbers up to 65535 are counted without a sort."""
    top = int(stored.max()) if stored.size else 0
    if top >= 2**16:
        return np.unique(stored, return_counts=True)
    counts = counted(stored, top)
    return np.flatnonzero(counts), counts[counts > 0]


def counted(array: Array, top: int) -> NDArray[np.int64]:
    """Return how often each number from 0 to `top` is in an array; `bincount` alone would copy all of it."""
    flat = array.ravel(order="K")
    counts = np.zeros(top + 1, np.int64)
    for start in range(0, flat.size, PIECE):
        counts += np.bincount(flat[start : start + PIECE].astype(np.intp), minlength=top + 1)
    return counts


def _short(table: dict[int, int], allowed: set[int], values: dict[int, int]) -> str:
    numbers = sorted({0, *table}) if values else sorted(allowed)
    return "0 to 255" if len(numbers) == 256 else f"one of {numbers}"
