"""An exponential moving average of the weights: smoother than the last step, and free."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Ema:
    """Keeps averaged weights beside a network; buffers (none in our networks) are not averaged."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start from the network's present weights."""
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards the network; early steps count more, as the average starts cold."""
        decay = min(self.decay, (1 + step) / (10 + step))
        live: list[Tensor] = [p for _, p in network.named_parameters()]
        torch._foreach_lerp_(list(self.weights.values()), live, 1 - decay)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[nn.Module]:
        """Give a copy of the network with the averaged weights."""
        averaged = copy.deepcopy(network)
        averaged.load_state_dict(self.weights, strict=False)
        yield averaged.eval()

    def state(self) -> dict[str, Tensor]:
        """Return the averaged weights by parameter name."""
        return dict(self.weights)

    def load(self, state: dict[str, Tensor]) -> None:
        """Take the averaged weights from a checkpoint."""
        for name, value in self.weights.items():
            value.copy_(state[name])
