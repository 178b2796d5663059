"""Every sampler in `samplers/`, found by file name, with every objective it accepts: known answers."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from medunet.diffusion import Objective, objective, objective_names, sample, sampler, sampler_names
from medunet.errors import ConfigError
from tests.diffusion.gaussian import MEAN, STD, best_network, unit_noise

REFUSED = {(name, aim) for name in ("ddim", "ddpm") for aim in ("flow", "edm")}
ALLOWED = [(name, aim) for name in sampler_names() for aim in objective_names() if (name, aim) not in REFUSED]
ODE = [(name, aim) for name, aim in ALLOWED if name != "ddpm"]


def wavy(z: Tensor, time: Tensor) -> Tensor:
    """A network that no rule can be guessed from."""
    return torch.sin(3 * z) + 0.5 * torch.cos(time / 300).view(-1, *(1,) * (z.ndim - 1)) * z


def std_error(name: str, aim: Objective, steps: int) -> float:
    out = sample(name, best_network(aim), unit_noise(1, 16, torch.float64), aim, steps)
    return abs(float(out.std()) / STD - 1)


# ------------------------------------------------------------------------------------------ known answers


@pytest.mark.parametrize(("name", "aim"), ALLOWED)
def test_noise_becomes_the_data(name: str, aim: str) -> None:
    one, steps = objective(aim), 250 if name == "ddpm" else 120
    out = sample(name, best_network(one), unit_noise(), one, steps, torch.Generator().manual_seed(1))
    assert float(out.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(out.std()) == pytest.approx(STD, rel=0.05)
    if name != "ddpm":  # without added noise the answer is known voxel by voxel
        assert torch.allclose(out, MEAN + STD * unit_noise(), atol=0.08)


@pytest.mark.parametrize("options", [{"shift": 3}, {"shift": 0.5}])
@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp", "unipc"])
def test_a_shifted_flow_makes_the_same_data(name: str, options: dict) -> None:
    one = objective("flow", options)
    out = sample(name, best_network(one), unit_noise(), one, 80)
    assert torch.allclose(out, MEAN + STD * unit_noise(), atol=0.1)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("aim", ["eps", "v", "x0"])
@pytest.mark.parametrize("name", ["heun", "dpmpp", "unipc"])
def test_few_steps_do_not_diverge(name: str, aim: str, schedule: str) -> None:
    """Cosine schedules end at a noise of 20,000: there second-order steps in sigma overshoot by orders."""
    one = objective(aim, {"schedule": schedule})
    out = sample(name, best_network(one), unit_noise(), one, 10)
    assert float(out.std()) == pytest.approx(STD, rel=0.25)


@pytest.mark.parametrize("aim", objective_names())
def test_heun_is_of_second_order_and_euler_of_first(aim: str) -> None:
    one = objective(aim)
    coarse, fine = 20, 40
    euler = std_error("euler", one, coarse) / std_error("euler", one, fine)
    heun = std_error("heun", one, coarse) / std_error("heun", one, fine)
    assert euler == pytest.approx(2, abs=0.3)
    assert heun > 3  # 4 where steps are even in the slope's variable
    assert std_error("heun", one, fine) < std_error("euler", one, fine) / 4


@pytest.mark.parametrize("name", ["dpmpp", "unipc"])
def test_multistep_solvers_need_fewer_calls_than_euler(name: str) -> None:
    one = objective("flow")
    assert std_error(name, one, 20) < std_error("euler", one, 20) / 3


# ------------------------------------------------------------------------------------------ by hand


def test_euler_on_a_flow_is_the_sum_of_its_velocities() -> None:
    one = objective("flow", {"shift": 2, "answer": "velocity"})
    z = noise = unit_noise(2, 4, torch.float64)
    for now, then in pairwise(one.grid(7)):
        z = z + (then - now) * wavy(z, 1000 * now.expand(2))
    assert torch.allclose(sample("euler", wavy, noise, one, 7), z)


def test_heun_on_a_flow_is_the_textbook_method() -> None:
    one = objective("flow", {"answer": "velocity"})
    z = noise = unit_noise(2, 4, torch.float64)
    for now, then in pairwise(one.grid(7)):
        first = wavy(z, 1000 * now.expand(2))
        guess = z + (then - now) * first
        z = z + (then - now) * (first + wavy(guess, 1000 * then.expand(2))) / 2 if then > 0 else guess
    assert torch.allclose(sample("heun", wavy, noise, one, 7), z)


def test_heun_on_edm_is_algorithm_1_of_karras() -> None:
    one = objective("edm")
    noise = unit_noise(2, 4, torch.float64)
    levels = 160 * one.grid(9) ** 7

    def slope(x: Tensor, s: Tensor) -> Tensor:  # with the denoiser of table 1, sigma_data = 1
        scale = (s**2 + 1).sqrt()
        time = 1000 * (s / 0.004).log() / torch.tensor(160 / 0.004).double().log()
        return (x - (x / scale**2 + s / scale * wavy(x / scale, time.expand(2)))) / s

    x = (levels[0] ** 2 + 1).sqrt() * noise
    for now, then in pairwise(levels):
        first = slope(x, now)
        guess = x + (then - now) * first
        x = x + (then - now) * (first + slope(guess, then)) / 2 if then > 0 else guess
    assert torch.allclose(sample("heun", wavy, noise, one, 9), x, rtol=1e-6)


@pytest.mark.parametrize("aim", ["eps", "v", "x0"])
def test_ddim_without_noise_is_euler_and_with_all_of_it_ddpm(aim: str) -> None:
    one, noise = objective(aim), unit_noise(2, 4, torch.float64)
    assert torch.allclose(sample("ddim", wavy, noise, one, 9), sample("euler", wavy, noise, one, 9))
    noisy = sampler("ddim")(wavy, noise, one, 9, torch.Generator().manual_seed(5), eta=1.0)
    ddpm = sample("ddpm", wavy, noise, one, 9, torch.Generator().manual_seed(5))
    assert torch.allclose(noisy, ddpm)


# ------------------------------------------------------------------------------------------ contract of all


@pytest.mark.parametrize("name", sampler_names())
@pytest.mark.parametrize("aim", objective_names())
def test_a_sampler_calls_tells_and_counts(name: str, aim: str) -> None:
    one, times, done = objective(aim), [], []

    def network(z: Tensor, time: Tensor) -> Tensor:
        assert z.shape == (3, 1, 4, 4)
        assert time.shape == (3,)
        assert not torch.is_grad_enabled()
        times.append(float(time[0]))
        return wavy(z, time)

    noise = unit_noise(3, 4)
    if (name, aim) in REFUSED:
        with pytest.raises(
            ConfigError, match=rf"sampler: {name} is made for .* not for {aim}\. Choose euler"
        ):
            sample(name, network, noise, one, 5)
        return
    out = sample(name, network, noise, one, 5, None, done.append)
    assert out.shape == noise.shape
    assert out.dtype == noise.dtype
    assert out.isfinite().all()
    assert done == [1, 2, 3, 4, 5]
    assert len(times) == (9 if name == "heun" else 5)
    assert times[0] == pytest.approx(1000)
    assert times == sorted(times, reverse=True)
    assert times[-1] > 0 or aim == "edm"
    assert torch.equal(noise, unit_noise(3, 4))  # the caller's noise is left as it is


@pytest.mark.parametrize(("name", "aim"), ALLOWED)
def test_chance_comes_from_the_generator_alone(name: str, aim: str) -> None:
    one, noise = objective(aim), unit_noise(2, 4)
    state = torch.get_rng_state()
    first, again, other = (
        sample(name, wavy, noise, one, 4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert torch.equal(first, other) is (name != "ddpm")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("name", "aim"), ODE)
def test_an_image_does_not_depend_on_its_batch(name: str, aim: str) -> None:
    one, noise = objective(aim), unit_noise(3, 4)
    alone = sample(name, wavy, noise[1:2], one, 4)
    assert torch.allclose(sample(name, wavy, noise, one, 4)[1:2], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "aim"), ALLOWED)
def test_volumes_and_half_precision_answers_are_fine(name: str, aim: str) -> None:
    noise = torch.randn(2, 3, 4, 3, 2, generator=torch.Generator().manual_seed(0))
    out = sample(name, lambda z, time: wavy(z, time).bfloat16(), noise, objective(aim), 4)
    assert out.shape == noise.shape
    assert out.dtype == torch.float32


def test_unknown_samplers_and_no_steps_are_told() -> None:
    with pytest.raises(ConfigError, match=r"sampler: no sampler 'rk4'; there are ddim, ddpm, dpmpp, euler"):
        sample("rk4", wavy, unit_noise(), objective("flow"), 4)
    with pytest.raises(ConfigError, match="steps: found 0, expected 1 or more"):
        sample("euler", wavy, unit_noise(), objective("flow"), 0)
    assert {"euler", "heun", "ddim", "ddpm", "dpmpp", "unipc"} <= set(sampler_names())
