"""Data with a known answer: voxels are independent N(MEAN, STD^2), and the best network for them."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from medunet.diffusion import Objective
from medunet.diffusion.objectives.edm import Edm

MEAN, STD = 0.7, 0.5


def t_of(objective: Objective, time: Tensor) -> Tensor:
    """Return t in 0..1 of what a network is told."""
    if not isinstance(objective, Edm):
        return time / 1000
    low, high = (math.log(value) for value in (objective.options.sigma_min, objective.options.sigma_max))
    s = (low + time / 1000 * (high - low)).exp()
    return (s / objective.options.sigma_max) ** (1 / objective.options.rho)


def best_network(objective: Objective) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the network that answers with the expected target given z, by conditioning of Gaussians."""

    def network(z: Tensor, time: Tensor) -> Tensor:
        level = objective.level(t_of(objective, time))
        alpha, sigma = (part.view(-1, *(1,) * (z.ndim - 1)) for part in level)
        surprise = (z - alpha * MEAN) / (alpha**2 * STD**2 + sigma**2)
        return objective.target(level).of(MEAN + alpha * STD**2 * surprise, sigma * surprise)

    return network


def unit_noise(count: int = 4, size: int = 32, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return noise whose sample mean and std are 0 and 1 exactly: deterministic samplers leave no chance."""
    noise = torch.randn(count, 1, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return ((noise - noise.mean()) / noise.std()).to(dtype)
