"""Soft Dice of the foreground labels plus cross entropy, the default of nnU-Net (Isensee 2021)."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from medunet.config.base import Record
from medunet.losses._overlap import dice_loss, log_probabilities, overlap


class Options(Record):
    """Weights of the two parts, and how Dice is summed."""

    dice: float = Field(1.0, ge=0)
    ce: float = Field(1.0, ge=0)
    smooth: float = Field(1e-5, gt=0)
    batch: bool = False  # Dice over the whole batch instead of per sample: steadier when labels are often absent


def build(options: Options) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of logits (B, K, *S) and target (B, *S) int64."""

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        log_probs = log_probabilities(logits)
        cross_entropy = functional.nll_loss(log_probs, target)
        sums = overlap(log_probs, target).foreground(batch=options.batch)
        return options.dice * dice_loss(sums, options.smooth) + options.ce * cross_entropy

    return loss
