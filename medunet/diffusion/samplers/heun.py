"""Heun's method of second order (Karras 2022, algorithm 1): two calls of the network a step, at last one."""

from __future__ import annotations

from torch import Generator

from medunet.diffusion.process import Images, Objective, solve
from medunet.diffusion.samplers import Network, OnStep, ask, walk


def sample(
    network: Network,
    noise: Images,
    objective: Objective,
    steps: int,
    generator: Generator | None = None,  # noqa: ARG001 nothing is drawn
    on_step: OnStep | None = None,
) -> Images:
    """Return images: each step is repeated with the mean of the slopes at its two ends.

    The slope is the objective's: dz/dt of a flow, dx/ds of EDM, and dz/dphi of eps, v and x0.
    """
    z = noise
    for step in walk(objective, steps, noise, on_step):
        here, there = objective.level(step.now), objective.level(step.then)
        first = ask(network, objective, z, step.now)
        arrived = there.of(*first)
        if not step.last:  # at the clean image no network was trained
            second = ask(network, objective, arrived, step.then)
            slope = objective.slope(here)
            mean = (slope.of(*first) + slope.of(*second)) / 2
            arrived = there.of(*solve(here, z, slope, mean))
        z = arrived
    return z
