"""Soft intersection over union (Jaccard) of the foreground labels (Rahman and Wang 2016)."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field
from torch import Tensor

from medunet.config.base import Record
from medunet.losses._overlap import foreground_overlap, log_probabilities


class Options(Record):
    """How the overlap is summed."""

    smooth: float = Field(1e-5, gt=0)
    batch: bool = False  # over the batch, not per sample: steadier when labels are often absent


def build(options: Options) -> Callable[[Tensor, Tensor], Tensor]:
    """Return 1 - mean soft IoU; a label that is neither there nor predicted counts as IoU 1."""

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        both, predicted, labelled = foreground_overlap(log_probabilities(logits), target, batch=options.batch)
        union = predicted + labelled - both
        return 1 - ((both + options.smooth) / (union + options.smooth)).mean()

    return loss
