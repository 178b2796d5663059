"""Tversky loss of the foreground labels (Salehi 2017): Dice with a price for each kind of error."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field
from torch import Tensor

from medunet.config.base import Record
from medunet.losses._overlap import foreground_overlap, log_probabilities


class Options(Record):
    """Prices of the errors; 0.5 and 0.5 make it Dice."""

    false_positive: float = Field(0.3, ge=0)  # the paper's alpha
    false_negative: float = Field(0.7, ge=0)  # the paper's beta; more than alpha finds more of small lesions
    smooth: float = Field(1e-5, gt=0)
    batch: bool = False  # over the batch, not per sample: steadier when labels are often absent


def build(options: Options) -> Callable[[Tensor, Tensor], Tensor]:
    """Return 1 - mean Tversky index; a label that is neither there nor predicted counts as index 1."""

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        both, predicted, labelled = foreground_overlap(log_probabilities(logits), target, batch=options.batch)
        price = options.false_positive * (predicted - both) + options.false_negative * (labelled - both)
        return 1 - ((both + options.smooth) / (both + price + options.smooth)).mean()

    return loss
