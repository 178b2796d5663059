"""UniPC (Zhao 2023) of second order, by the scheduler of diffusers: one call of the network a step."""

from __future__ import annotations

from torch import Generator

from medunet.diffusion.process import Images, Objective
from medunet.diffusion.samplers import Network, OnStep
from medunet.diffusion.samplers._stock import SETTINGS, run


def sample(
    network: Network,
    noise: Images,
    objective: Objective,
    steps: int,
    generator: Generator | None = None,  # noqa: ARG001 nothing is drawn
    on_step: OnStep | None = None,
) -> Images:
    """Return images."""
    from diffusers import UniPCMultistepScheduler  # takes seconds to import

    return run(UniPCMultistepScheduler(**SETTINGS), network, noise, objective, steps, on_step)
