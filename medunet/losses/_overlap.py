"""The sums that region losses are made of, without a one-hot target in memory."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Overlap(NamedTuple):
    """Soft sums per sample and label, (B, K) each, in float32."""

    both: Tensor  # sum of p_k over voxels labelled k
    predicted: Tensor  # sum of p_k over all voxels
    labelled: Tensor  # number of voxels labelled k

    def foreground(self, *, batch: bool = False) -> Overlap:
        """Return the sums without background (label 0); with `batch` summed over samples, (1, K - 1)."""
        kept = (values[:, 1:] for values in self)
        return Overlap(*(values.sum(0, keepdim=True) if batch else values for values in kept))


def log_probabilities(logits: Tensor) -> Tensor:
    """Return log softmax over labels in float32, (B, K, *S)."""
    return functional.log_softmax(logits.float(), 1)


def overlap(log_probs: Tensor, target: Tensor) -> Overlap:
    """Return the soft sums of log-probabilities (B, K, *S) with labels (B, *S) int64."""
    probs = log_probs.exp()
    samples, labels = probs.shape[:2]
    index = target.flatten(1)
    hit = probs.gather(1, target[:, None]).flatten(1)
    both = probs.new_zeros(samples, labels).scatter_add(1, index, hit)
    labelled = torch.stack([torch.bincount(row, minlength=labels) for row in index]).to(probs.dtype)
    return Overlap(both, probs.flatten(2).sum(2), labelled)


def dice_loss(sums: Overlap, smooth: float) -> Tensor:
    """Return 1 - mean soft Dice; a label that is neither there nor predicted counts as Dice 1."""
    dice = (2 * sums.both + smooth) / (sums.predicted + sums.labelled + smooth)
    return 1 - dice.mean()
