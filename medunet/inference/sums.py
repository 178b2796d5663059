"""Weighted sums of logits for the rows that windows still reach: what streaming has to hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

BACKGROUND = 10.0  # logit of what is not computed
EXACT_BYTES = 2**30  # of float32 sums; larger ones are kept in half precision, as nnU-Net keeps all


def sums_type(labels: int, shape: Sequence[int]) -> torch.dtype:
    """Return the type in which sums (labels, *shape) are kept: it follows from the sizes alone."""
    return torch.float32 if 4 * labels * math.prod(shape) <= EXACT_BYTES else torch.float16


class Sums:
    """Mean logits (K, rows, *across) of one network, growing tile by tile; row 0 is the first to be final."""

    def __init__(self, labels: int, shape: Sequence[int], device: torch.device | str) -> None:
        """Start with zeros of `shape` (rows, *across)."""
        self.values = torch.zeros(labels, *shape, dtype=sums_type(labels, shape), device=device)

    def add(self, box: tuple[slice, ...], logits: Tensor, share: Tensor) -> None:
        """Add a tile's logits (K, *patch) times its share (*patch); one label at a time, to hold little."""
        for total, values in zip(self.values, logits, strict=True):
            total[box] += values * share

    def add_background(self, box: tuple[slice, ...], share: Tensor) -> None:
        """Add the share (*patch) of a window that was not computed because it holds no label."""
        self.values[0][box] += BACKGROUND * share

    def means(self, box: tuple[slice, ...]) -> Tensor:
        """Return the finished means in a box (rows, *across) as float32 (K, ...)."""
        return self.values[(slice(None), *box)].float()

    def advance(self, rows: int) -> None:
        """Move up by finished rows, in place, and clear what becomes free."""
        kept = max(0, self.values.shape[1] - rows)
        for label in self.values:
            label[:kept] = label[rows : rows + kept].clone()
        self.values[:, kept:] = 0
