"""Focal loss (Lin 2017): cross entropy that counts voxels less the surer the network is of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor

from medunet.config.base import Record
from medunet.losses._overlap import log_probabilities

SMALLEST = 1e-6  # of 1 - p: keeps the gradient finite for gamma below 1


class Options(Record):
    """How strongly sure voxels are played down."""

    gamma: float = Field(2.0, ge=0, le=10)  # 0 is cross entropy; 2 is the paper's


def build(options: Options) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the mean of -(1 - p) ** gamma * log p over voxels, p the probability of the true label."""

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        log_true = log_probabilities(logits).gather(1, target[:, None])
        unsure = (-torch.expm1(log_true)).clamp(min=SMALLEST)
        return -(unsure**options.gamma * log_true).mean()

    return loss
