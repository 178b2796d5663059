"""Euler's method on the probability-flow equation of any objective: one call of the network a step."""

from __future__ import annotations

from torch import Generator

from medunet.diffusion.process import Images, Objective
from medunet.diffusion.samplers import Network, OnStep, ask, walk


def sample(
    network: Network,
    noise: Images,
    objective: Objective,
    steps: int,
    generator: Generator | None = None,  # noqa: ARG001 nothing is drawn
    on_step: OnStep | None = None,
) -> Images:
    """Return images: at every step the estimated image and noise are mixed anew for the next level.

    For a flow that is z + dt v, for the others x + ds noise with x = z / alpha, s = sigma / alpha, which is
    Euler's method in the variables of Song 2021 (DDIM, equation 14) and Karras 2022 (equation 3).
    """
    z = noise
    for step in walk(objective, steps, noise, on_step):
        z = objective.level(step.then).of(*ask(network, objective, z, step.now))
    return z
