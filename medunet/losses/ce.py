"""Cross entropy of all labels, background included."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from medunet.config.base import Record


class Options(Record):
    """Softening of the target."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)  # share of the target spread evenly over all labels


def build(options: Options) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the mean cross entropy over voxels, in nats."""

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(logits.float(), target, label_smoothing=options.label_smoothing)

    return loss
