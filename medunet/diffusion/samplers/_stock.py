"""How a multistep scheduler of diffusers is made to walk an objective's own grid.

Such solvers see an objective only through alpha / sigma and estimates of the clean image. So each objective
is given to them as a flow: y = z / (alpha + sigma) is a straight mixture, sigma / (alpha + sigma) noise.
That goes round their own grids, which start where nothing can be told and may have a step too many.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from medunet.diffusion.process import Images, Objective
from medunet.diffusion.samplers import Network, OnStep, ask, walk

SETTINGS = {"use_flow_sigmas": True, "prediction_type": "sample", "solver_order": 2}
MOST_NOISE = 1 - 1e-6  # they take the logarithm of the image's share


@runtime_checkable
class Scheduler(Protocol):
    """The part of a diffusers scheduler that is used here."""

    sigmas: Any
    timesteps: Any

    def set_timesteps(self, num_inference_steps: int) -> None:
        """Forget the last sampling and make a grid."""

    def set_begin_index(self, begin_index: int) -> None:
        """Say where on the grid the next step is."""

    def step(self, model_output: Any, timestep: Any, sample: Any, *, return_dict: bool) -> Any:
        """Go one step."""


def run(
    scheduler: Scheduler,
    network: Network,
    noise: Images,
    objective: Objective,
    steps: int,
    on_step: OnStep | None,
) -> Images:
    """Return images made by the scheduler's steps."""
    alpha, sigma = objective.level(objective.grid(steps).to(noise.device, noise.dtype))
    size = alpha + sigma
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)
    scheduler.sigmas = (sigma / size).clamp_max(MOST_NOISE).float().cpu()
    scheduler.timesteps = 1000 * scheduler.sigmas[:-1]
    y = noise / size[0]
    for number, step in enumerate(walk(objective, steps, noise, on_step)):
        clean = ask(network, objective, y * size[number], step.now).clean
        (y,) = scheduler.step(clean, scheduler.timesteps[number], y, return_dict=False)
    return y
