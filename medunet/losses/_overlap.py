"""The sums that region losses are made of, from boolean masks: no one-hot target in floats."""

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


def log_probabilities(logits: Tensor) -> Tensor:
    """Return log softmax over labels in float32, (B, K, *S)."""
    return functional.log_softmax(logits.float(), 1)


def foreground_overlap(log_probs: Tensor, target: Tensor, *, batch: bool) -> Overlap:
    """Return the soft sums of log-probabilities (B, K, *S) with labels (B, *S), without label 0: (B, K - 1).

    With `batch` they are summed over the samples: (1, K - 1).
    """
    probs = log_probs[:, 1:].exp()
    labels = torch.arange(1, log_probs.shape[1], device=target.device)
    masks = target[:, None] == labels.view(1, -1, *(1,) * (target.ndim - 1))
    axes = (0, *range(2, probs.ndim)) if batch else tuple(range(2, probs.ndim))
    sums = [values.sum(axes) for values in (probs * masks, probs, masks)]
    return Overlap(*(values.float().reshape(-1, len(labels)) for values in sums))
