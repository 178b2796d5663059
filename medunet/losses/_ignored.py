"""Voxels that nothing is learnt from, for every loss at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from medunet.config.card import IGNORED

SURE = 30.0  # of a logit above the others: p = 1 - 1e-13; infinity would spoil label smoothing


def ignoring(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loss of logits (B, K, *S) and target (B, *S) in which voxels labelled IGNORED teach nothing.

    There the network is taken to have found background, surely, where background is. That is a constant, so
    that no gradient flows; cross entropy adds nothing; and no sum over foreground, so no denominator of Dice,
    counts the voxel. A mean over voxels still counts it as one without error: a patch of which little can be
    learnt weighs less.
    """

    def loss_of_the_rest(logits: Tensor, target: Tensor) -> Tensor:
        ignored = target == IGNORED
        sure = torch.zeros(logits.shape[1], dtype=logits.dtype, device=logits.device)
        sure[0] = SURE
        constant = sure.view(1, -1, *(1,) * (logits.ndim - 2))
        return loss(torch.where(ignored[:, None], constant, logits), torch.where(ignored, 0, target))

    return loss_of_the_rest
