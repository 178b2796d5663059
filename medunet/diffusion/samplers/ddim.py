"""DDIM (Song 2021): steps that can be skipped, without noise (eta 0) or with as much as DDPM adds (eta 1)."""

from __future__ import annotations

from torch import Generator

from medunet.diffusion.process import Images, Mix, Objective, normal_like, wide
from medunet.diffusion.samplers import Network, OnStep, ask, variance_preserving, walk


def sample(
    network: Network,
    noise: Images,
    objective: Objective,
    steps: int,
    generator: Generator | None = None,
    on_step: OnStep | None = None,
    *,
    eta: float = 0.0,
) -> Images:
    """Return images by equation 12, with sigma(eta) of equation 16."""
    process = variance_preserving(objective, "ddim")
    z = noise
    for step in walk(process, steps, noise, on_step):
        here, there = process.level(step.now), process.level(step.then)
        added = eta * there.noise / here.noise * (1 - (here.clean / there.clean).square()).sqrt()
        kept = (there.noise.square() - added.square()).clamp_min(0).sqrt()  # rounding may fall below 0
        z = Mix(there.clean, kept).of(*ask(network, process, z, step.now))
        if eta and not step.last:
            z = z + wide(added, z) * normal_like(z, generator)
    return z
