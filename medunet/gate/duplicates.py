"""Samples that are near-identical to an earlier one of the set, in any turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medunet.config.samples import Check
from medunet.gate.views import View, turns

ROWS = 256  # samples that are compared with all others at once
BLANK = 1e-3


def duplicates(views: Sequence[View], limit: float) -> list[Check]:
    """Return the check of each sample, in order: the mean correlation of image and texture to an earlier one.

    Both must be alike: two images of one mask have like images by right, but not like textures.
    """
    nearest = np.full(len(views), -1, int)
    like = np.full(len(views), -1.0)
    table = _described(views)
    for turn in turns(views[0].grey.shape) if views else ():
        turned = _described([view.turned(turn) for view in views])
        for start in range(0, len(views), ROWS):
            rows = np.arange(start, min(start + ROWS, len(views)))
            found = turned[rows] @ table.T
            found[np.arange(len(views))[None] >= rows[:, None]] = -1.0  # only earlier ones count
            best = found.argmax(1)
            value = found[np.arange(len(rows)), best]
            better = value > like[rows]
            like[rows[better]], nearest[rows[better]] = value[better], best[better]
    return [_check(float(value), int(other), limit) for value, other in zip(like, nearest, strict=True)]


def _described(views: Sequence[View]) -> NDArray[np.float32]:
    parts = []
    for arrays in zip(*(view.looks() for view in views), strict=True):
        flat = np.stack([array.ravel() for array in arrays])
        flat = flat - flat.mean(1, keepdims=True)
        parts.append(flat / (np.linalg.norm(flat, axis=1, keepdims=True) + BLANK) / np.sqrt(2.0))
    return np.concatenate(parts, 1).astype(np.float32)


def _check(value: float, other: int, limit: float) -> Check:
    if other < 0:
        return Check(name="duplicates", passed=True, number=None, limit=limit, reason="the first of the set")
    reason = f"correlation {value:.3f} with sample {other} of the set"
    return Check(name="duplicates", passed=value <= limit, number=round(value, 4), limit=limit, reason=reason)
