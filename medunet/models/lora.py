"""Low-rank adaptation (Hu 2022): a trained network learns a new scanner from few scans, in few parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from medunet.errors import ConfigError

LAYERS = (nn.Linear, nn.Conv2d, nn.Conv3d)


class LowRank(nn.Module):
    """Adds `alpha / rank * up @ down` to a weight; `up` starts at 0, so nothing changes at first."""

    def __init__(self, weight: Tensor, rank: int, alpha: float | int) -> None:
        """Lay out factors for a weight (outputs, ...); of a rank that the weight can have."""
        super().__init__()
        outputs, inputs = weight.flatten(1).shape
        self.scale = alpha / rank  # as asked for: layers of fewer are not adapted more strongly
        rank = min(rank, outputs, inputs)
        self.down = nn.Parameter(weight.new_empty(rank, inputs).normal_(std=inputs**-0.5))
        self.up = nn.Parameter(weight.new_zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the adapted weight."""
        return weight + self.scale * (self.up @ self.down).view_as(weight)


def add_lora(
    network: nn.Module, rank: int, alpha: float | int, targets: Sequence[str] = ("",)
) -> list[nn.Parameter]:
    """Adapt all linear layers and convolutions whose name contains one of `targets`; freeze all else.

    Returns the new parameters, which an optimiser needs. A weight `x.weight` is now found as
    `x.parametrizations.weight.original`, beside `x.parametrizations.weight.0.down` and `.up`. ConfigError if
    no layer fits or the rank is below 1.
    """
    if rank < 1:
        raise ConfigError(f"lora.rank: found {rank}, expected 1 or more")
    layers = [
        layer
        for name, layer in network.named_modules()
        if isinstance(layer, LAYERS) and any(target in name for target in targets)
    ]
    if not layers:
        raise ConfigError(f"lora.targets: no linear layer or convolution is named like {', '.join(targets)}")
    network.requires_grad_(False)
    added: list[nn.Parameter] = []
    for layer in layers:
        update = LowRank(layer.weight.detach(), rank, alpha)
        parametrize.register_parametrization(layer, "weight", update)
        added += update.parameters()
    return added


@torch.no_grad()
def merge_lora(network: nn.Module) -> None:
    """Fold all adaptations into the weights: names and cost are those of the plain network; all unfrozen."""
    for layer in list(network.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    network.requires_grad_(True)
