"""Soft Dice of the foreground labels plus cross entropy, the default of nnU-Net (Isensee 2021)."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from medunet.config.base import Record
from medunet.losses._overlap import foreground_overlap, log_probabilities


class Options(Record):
    """Weights of the two parts, and how Dice is summed."""

    dice: float = Field(1.0, ge=0)
    ce: float = Field(1.0, ge=0)
    smooth: float = Field(1e-5, gt=0)
    batch: bool = False  # Dice over the batch, not per sample: steadier when labels are often absent


def build(options: Options) -> Callable[[Tensor, Tensor], Tensor]:
    """Return dice * (1 - mean soft Dice without background) + ce * cross entropy.

    A label that is neither there nor predicted counts as Dice 1.
    """

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        log_probs = log_probabilities(logits)
        cross_entropy = functional.nll_loss(log_probs, target)
        both, predicted, labelled = foreground_overlap(log_probs, target, batch=options.batch)
        dice = (2 * both + options.smooth) / (predicted + labelled + options.smooth)
        return options.dice * (1 - dice.mean()) + options.ce * cross_entropy

    return loss
