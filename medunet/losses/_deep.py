"""Deep supervision: one loss at every resolution the network answers in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import functional


def deeply_supervised(
    loss: Callable[[Tensor, Tensor], Tensor],
) -> Callable[[Tensor | Sequence[Tensor], Tensor], Tensor]:
    """Return a loss over one tensor of logits or several, finest first, weighted 1, 1/2, 1/4 ... to sum 1.

    The target (B, *S) is brought to each resolution by nearest neighbour.
    """

    def deep_loss(outputs: Tensor | Sequence[Tensor], target: Tensor) -> Tensor:
        if isinstance(outputs, Tensor):
            return loss(outputs, target)
        weights = [0.5**level for level in range(len(outputs))]
        values = [loss(logits, nearest(target, logits.shape[2:])) for logits in outputs]
        total = sum(weight * value for weight, value in zip(weights, values, strict=True))
        return total / sum(weights)  # type: ignore[return-value]  # outputs is never empty

    return deep_loss


def nearest(target: Tensor, shape: Sequence[int]) -> Tensor:
    """Return labels (B, *S) on a coarser grid with the same outer corners: those nearest the centres."""
    if tuple(target.shape[1:]) == tuple(shape):
        return target
    resized = functional.interpolate(target[:, None].float(), tuple(shape), mode="nearest-exact")
    return resized[:, 0].to(target.dtype)
