"""How a scheduler of diffusers is made to walk an objective's own grid.

Its traps are gone round, not repaired: it is given estimates of the clean image, so that no prediction type
can be wrong; the schedule that sampling starts from is cut where the objective says; the flow's shift is
applied by the scheduler alone, once; the last sigma is 0.
"""

from __future__ import annotations

from typing import Any, Protocol

from medunet.diffusion.objectives.flow import Flow
from medunet.diffusion.process import Images, Objective
from medunet.diffusion.samplers import Network, OnStep, ask, variance_preserving, walk

FINE = 1_000_000  # the schedulers leave out the 1 / FINE of a flow that is nearest to noise or image


class Scheduler(Protocol):
    """The part of a diffusers scheduler that is used here."""

    timesteps: Any

    def set_timesteps(self, num_inference_steps: int) -> None:
        """Make the grid."""

    def set_begin_index(self, begin_index: int) -> None:
        """Say where on the grid the next step is."""

    def step(self, model_output: Any, timestep: Any, sample: Any, *, return_dict: bool) -> Any:
        """Go one step."""


def settings(objective: Objective, sampler: str) -> dict[str, Any]:
    """Return the options with which a multistep scheduler of diffusers has the objective's process."""
    common = {"prediction_type": "sample", "solver_order": 2, "final_sigmas_type": "zero"}
    if isinstance(objective, Flow):
        shift = objective.options.shift
        return common | {"use_flow_sigmas": True, "flow_shift": shift, "num_train_timesteps": FINE}
    process = variance_preserving(objective, sampler)
    betas = process.betas[: process.first].tolist()
    return common | {
        "num_train_timesteps": len(betas),
        "trained_betas": betas,
        "timestep_spacing": "trailing",
    }


def run(
    scheduler: Scheduler,
    network: Network,
    noise: Images,
    objective: Objective,
    steps: int,
    on_step: OnStep | None,
) -> Images:
    """Return images made by the scheduler's steps."""
    scheduler.set_timesteps(steps)
    scheduler.set_begin_index(0)  # by time it would be searched for, and times are rounded
    z = noise
    for timestep, step in zip(scheduler.timesteps, walk(objective, steps, noise, on_step), strict=True):
        clean = ask(network, objective, z, step.now).clean
        (z,) = scheduler.step(clean, timestep, z, return_dict=False)
    return z
