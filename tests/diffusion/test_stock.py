"""The schedulers of diffusers as oracle of our samplers, and as what dpmpp and unipc are made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler
from torch import Tensor

from medunet.diffusion import objective, sample, sampler
from tests.diffusion.gaussian import unit_noise

KINDS = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}
SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
CASES = [
    (name, schedule) for name in KINDS for schedule in SCHEDULES if (name, schedule) != ("eps", "cosine")
]  # noise prediction on the cosine schedule is cut here, and not by diffusers
STOCK = {"dpmpp": DPMSolverMultistepScheduler, "unipc": UniPCMultistepScheduler}


def wavy(z: Tensor, time: Tensor) -> Tensor:
    """A network that no rule can be guessed from; bounded, so that differences stay visible."""
    return torch.sin(z + time.view(-1, 1, 1, 1) / 300)


def by_diffusers(scheduler: Any, noise: Tensor, steps: int, seed: int, **how: Any) -> Tensor:
    """Return what the scheduler makes when it is driven as documented; it counts from 0, we from 1."""
    scheduler.set_timesteps(steps)
    generator, z = torch.Generator().manual_seed(seed), noise
    for timestep in scheduler.timesteps:
        time = (timestep + 1) * 1000 / scheduler.config.num_train_timesteps
        output = wavy(z, torch.full((len(z),), float(time)))
        z = scheduler.step(output, timestep, z, generator=generator, **how).prev_sample
    return z


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_schedules_are_those_of_diffusers(schedule: str) -> None:
    scheduler = DDPMScheduler(beta_schedule=SCHEDULES[schedule])
    alpha, sigma = objective("v", {"schedule": schedule}).level(torch.arange(1, 1001) / 1000)
    assert torch.allclose(alpha.square(), scheduler.alphas_cumprod, rtol=1e-3, atol=1e-7)
    assert torch.allclose(sigma.square(), 1 - scheduler.alphas_cumprod, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("name", "schedule"), CASES)
def test_ddim_is_that_of_diffusers(name: str, schedule: str, eta: float) -> None:
    scheduler = DDIMScheduler(
        beta_schedule=SCHEDULES[schedule],
        prediction_type=KINDS[name],
        clip_sample=False,
        timestep_spacing="trailing",
    )
    expected = by_diffusers(scheduler, unit_noise(2, 4), 20, 3, eta=eta)
    aim = objective(name, {"schedule": schedule})
    found = sampler("ddim")(wavy, unit_noise(2, 4), aim, 20, torch.Generator().manual_seed(3), eta=eta)
    assert torch.allclose(found, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("name", "schedule"), CASES)
@pytest.mark.parametrize("clip", [None, 1.0])
def test_ddpm_is_that_of_diffusers(name: str, schedule: str, clip: float | None) -> None:
    """All of 100 steps: diffusers finds the step before by subtraction, right only if none is skipped."""
    aim = objective(name, {"schedule": schedule, "steps": 100, "clip": clip})
    scheduler = DDPMScheduler(
        num_train_timesteps=100,
        trained_betas=aim.betas.tolist(),
        prediction_type=KINDS[name],
        clip_sample=clip is not None,
        timestep_spacing="trailing",
    )
    expected = by_diffusers(scheduler, unit_noise(2, 4), 100, 3)
    found = sample("ddpm", wavy, unit_noise(2, 4), aim, 100, torch.Generator().manual_seed(3))
    assert torch.allclose(found, expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("stock", STOCK)
@pytest.mark.parametrize("name", [*KINDS, "flow"])
def test_any_objective_walked_as_a_flow_is_the_native_scheduler(stock: str, name: str) -> None:
    flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}
    process = {"timestep_spacing": "trailing", "prediction_type": KINDS.get(name), "beta_schedule": "linear"}
    scheduler = STOCK[stock](**(flow if name == "flow" else process))
    scheduler.set_timesteps(12)
    z = unit_noise(2, 4)
    for number, timestep in enumerate(scheduler.timesteps):
        time = 1000 * scheduler.sigmas[number] if name == "flow" else timestep + 1
        z = scheduler.step(wavy(z, torch.full((2,), float(time))), timestep, z).prev_sample
    aim = objective(name, {"shift": 3, "answer": "velocity"} if name == "flow" else {"schedule": "linear"})
    assert torch.allclose(sample(stock, wavy, unit_noise(2, 4), aim, 12), z, rtol=5e-3, atol=5e-3)
