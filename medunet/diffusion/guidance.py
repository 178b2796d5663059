"""Classifier-free guidance (Ho & Salimans 2022) as a wrapper: to a sampler it is a network like any other."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from medunet.diffusion.samplers import Network


def guided(network_with: Network, network_without: Network, scale: float) -> Network:
    """Return a network that answers without + scale (with - without).

    `scale` 1 is the conditional network itself at half the cost, 0 the unconditional one; more than 1
    exaggerates the condition (equation 6, where w = scale - 1).
    """
    if scale == 1:
        return network_with

    def network(z: Float[Tensor, "n c *s"], time: Float[Tensor, " n"]) -> Float[Tensor, "n c *s"]:
        without = network_without(z, time)
        return without + scale * (network_with(z, time) - without)

    return network
