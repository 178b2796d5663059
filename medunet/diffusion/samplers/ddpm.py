"""Ancestral sampling of DDPM (Ho 2020, algorithm 2): noise is added at every step but the last."""

from __future__ import annotations

from torch import Generator

from medunet.diffusion.process import Images, Objective, normal_like, wide
from medunet.diffusion.samplers import Network, OnStep, ask, variance_preserving, walk


def sample(
    network: Network,
    noise: Images,
    objective: Objective,
    steps: int,
    generator: Generator | None = None,
    on_step: OnStep | None = None,
) -> Images:
    """Return images drawn from the posterior of each step, with the variance of equation 7.

    With fewer steps than in training, beta is that of the steps taken (Nichol & Dhariwal 2021, equation 19).
    """
    process = variance_preserving(objective, "ddpm")
    z = noise
    for step in walk(process, steps, noise, on_step):
        here, there = process.level(step.now), process.level(step.then)
        clean = ask(network, process, z, step.now).clean
        alpha = (here.clean / there.clean).square()  # of this step alone, as in the paper
        beta = 1 - alpha
        of_clean = there.clean * beta / here.noise.square()
        of_z = alpha.sqrt() * (there.noise / here.noise).square()
        z = wide(of_clean, z) * clean + wide(of_z, z) * z
        if not step.last:
            z = z + wide(beta.sqrt() * there.noise / here.noise, z) * normal_like(z, generator)
    return z
