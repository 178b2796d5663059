"""Every objective in `objectives/`, found by file name: its contract, and numbers by hand from the papers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from medunet.diffusion import Objective, objective, objective_names
from medunet.diffusion.process import Mix
from medunet.diffusion.variance_preserving import snr_capped
from medunet.errors import ConfigError

OPTIONS = {
    "flow": [{}, {"answer": "velocity", "mean": 0.5, "std": 1.5, "shift": 3.0}],
    "eps": [{}, {"schedule": "cosine", "min_snr": 5}],
    "v": [{}, {"schedule": "linear", "min_snr": 5}],
    "x0": [{}, {"schedule": "linear", "min_snr": 5, "steps": 100}],
    "edm": [{}, {"sigma_data": 0.5, "p_mean": -1.2, "sigma_min": 0.002, "sigma_max": 80}],
}
CASES = [(name, options) for name in objective_names() for options in OPTIONS.get(name, [{}])]
PREDICTIONS = ("eps", "v", "x0")


def images(*size: int, count: int = 6, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, 2, *size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------------------------------ contract of all


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("size", [(5, 4), (4, 3, 2)])
def test_a_training_step_has_all_that_is_needed(name: str, options: dict, size: tuple) -> None:
    clean = images(*size, count=200)
    step = objective(name, options).corrupt(clean)
    assert step.z.shape == step.target.shape == clean.shape
    assert step.time.shape == step.weight.shape == step.t.shape == (200,)
    assert all(part.isfinite().all() and part.dtype == torch.float32 for part in step)
    assert (step.weight > 0).all()
    assert (step.t > 0).all()
    assert (step.t <= 1).all()
    assert (step.time >= 0).all()
    assert (step.time <= 1000).all()
    assert len(step.t.unique()) > 60


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_right_answer_gives_back_image_and_noise(name: str, options: dict) -> None:
    clean, noise = images(5, 4, dtype=torch.float64), images(5, 4, seed=1, dtype=torch.float64)
    aim = objective(name, options)
    step = aim.corrupt_at(clean, noise, torch.tensor([0.01, 0.1, 0.3, 0.6, 0.9, 1.0], dtype=torch.float64))
    estimate = aim.estimate(step.target, step.z, step.t)
    assert torch.allclose(estimate.clean, clean, atol=1e-9)
    assert torch.allclose(estimate.noise, noise, atol=1e-9)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_wrong_answer_still_explains_z(name: str, options: dict) -> None:
    """Whatever the network answers, alpha clean + sigma noise is z: samplers rely on it."""
    aim = objective(name, options)
    step = aim.corrupt(images(5, 4, dtype=torch.float64), seeded(0))
    step = step._replace(t=step.t.double())
    estimate = aim.estimate(images(5, 4, seed=5, dtype=torch.float64), step.z, step.t)
    assert torch.allclose(aim.level(step.t).of(*estimate), step.z, atol=1e-6)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_time_runs_from_the_image_to_unit_noise(name: str, options: dict) -> None:
    aim, std = objective(name, options), options.get("sigma_data", 1)
    clean, noise = std * images(5, 4, count=2), images(5, 4, count=2, seed=1)
    start = aim.corrupt_at(clean, noise, torch.zeros(2))
    end = aim.corrupt_at(clean, noise, torch.ones(2))
    assert torch.allclose(start.z, clean / std)
    assert torch.allclose(end.z, noise, atol=0.05)
    assert end.time.tolist() == pytest.approx([1000, 1000])
    assert start.time.tolist() == pytest.approx([0, 0], abs=1e-3)
    assert start.weight.isfinite().all()
    times = aim.time(torch.linspace(0.5, 1, 50))
    assert (times.diff() > 0).all()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_draw_is_the_twin_with_drawn_time_and_noise(name: str, options: dict) -> None:
    clean, aim = images(5, 4, count=500), objective(name, options)
    first, again, other = (aim.corrupt(clean, seeded(seed)) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.t, other.t)
    noise = aim.estimate(first.target.double(), first.z.double(), first.t.double()).noise
    assert noise.mean().abs() < 0.02
    assert noise.std() == pytest.approx(1, abs=0.02)
    twin = aim.corrupt_at(clean, noise.float(), first.t)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(first, twin, strict=True))


@pytest.mark.parametrize(("name", "options"), CASES)
def test_the_loss_is_a_weighted_mean_square_per_sample(name: str, options: dict) -> None:
    aim = objective(name, options)
    step = aim.corrupt(images(5, 4), seeded(0))
    assert torch.equal(aim.loss(step.target, step), torch.zeros(6))
    off = step.target + torch.arange(6.0).view(6, 1, 1, 1)
    assert torch.allclose(aim.loss(off, step), step.weight * torch.arange(6.0) ** 2, rtol=1e-4)
    output = off.clone().requires_grad_()
    aim.loss(output, step).mean().backward()
    assert output.grad is not None
    assert (output.grad[1:] != 0).all()


def test_regions_count_more_but_no_image_does() -> None:
    aim = objective("flow", {"answer": "velocity"})
    step = aim.corrupt(images(4, 4, count=2), seeded(0))
    output = step.target.clone()
    output[:, :, :2] += 1  # wrong in the upper half of both images
    weight = torch.ones(2, 1, 4, 4)
    weight[0, :, :2] = 3  # and there the first one counts thrice: 3 / mean(3, 1) = 1.5
    assert aim.loss(output, step).tolist() == pytest.approx([0.5, 0.5])
    assert aim.loss(output, step, weight).tolist() == pytest.approx([0.75, 0.5])
    assert aim.loss(output, step, 7 * weight).tolist() == pytest.approx([0.75, 0.5])


def test_half_precision_answers_are_compared_exactly() -> None:
    aim = objective("flow")
    step = aim.corrupt(images(5, 4), seeded(0))
    rounded = step.target.bfloat16()
    assert aim.loss(rounded, step).dtype == torch.float32
    assert torch.equal(aim.loss(rounded, step), aim.loss(rounded.float(), step))
    assert aim.estimate(rounded, step.z, step.t).clean.dtype == torch.float32


def test_unknown_names_and_options_are_told() -> None:
    with pytest.raises(ConfigError, match=r"objective\.name: no objective 'ddpm'; there are edm, eps, flow"):
        objective("ddpm")
    with pytest.raises(
        ConfigError, match=r"objective\.options: 1 problem.*\n.*tilt: unknown key; known keys"
    ):
        objective("flow", {"tilt": 3})
    assert {"flow", "eps", "v", "x0", "edm"} <= set(objective_names())


# ------------------------------------------------------------------------------------------ grids


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("steps", [1, 2, 7, 30, 100])
def test_steps_add_up_to_all_of_the_time(name: str, options: dict, steps: int) -> None:
    grid = objective(name, options).grid(steps)
    cut = name == "eps" and options.get("schedule") == "cosine"
    assert len(grid) == steps + 1
    assert (grid.diff() < 0).all()
    assert float(-grid.diff().sum()) == pytest.approx(0.996 if cut else 1.0, abs=1e-12)
    assert grid[-1] == 0


def test_noise_prediction_starts_where_its_answer_is_of_use() -> None:
    alpha, _ = objective("eps", {"schedule": "cosine"}).level(torch.tensor([0.996, 0.997]))
    assert alpha[0] > math.exp(-5.1) > alpha[1]
    assert objective("eps", {"schedule": "linear"}).grid(1000)[0] == 1  # the paper's own schedule is whole
    assert objective("eps", {"schedule": "cosine", "clip": 1}).grid(1000)[0] == 1
    assert objective("v", {"schedule": "cosine"}).grid(1000)[0] == 1


def test_more_steps_than_levels_are_refused() -> None:
    with pytest.raises(ConfigError, match="found 101, expected at most 100"):
        objective("v", {"steps": 100}).grid(101)
    with pytest.raises(ConfigError, match="at most 996"):
        objective("eps", {"schedule": "cosine"}).grid(1000)


def shifted(t: Tensor, shift: float) -> Tensor:
    return shift * t / (1 + (shift - 1) * t)


def test_the_shift_is_applied_once_in_training_and_in_sampling() -> None:
    plain, moved = objective("flow"), objective("flow", {"shift": 3})
    clean = images(5, 4, count=50)
    t = plain.corrupt(clean, seeded(0)).t
    assert torch.allclose(moved.corrupt(clean, seeded(0)).t, shifted(t, 3), atol=1e-6)
    assert torch.allclose(moved.grid(10), shifted(plain.grid(10), 3))
    assert moved.grid(2)[1] == pytest.approx(0.75)  # 3 * 0.5 / (1 + 2 * 0.5); twice would be 0.9
    assert torch.equal(moved.grid(1000), moved.grid(1000))


# ------------------------------------------------------------------------------------------ flow


def test_flow_is_a_straight_line() -> None:
    clean, noise = torch.full((2, 1, 2, 2), 4.0), torch.full((2, 1, 2, 2), -2.0)
    step = objective("flow", {"answer": "velocity"}).corrupt_at(clean, noise, torch.tensor([0.25, 0.5]))
    assert step.z[:, 0, 0, 0].tolist() == [2.5, 1.0]
    assert step.target.unique().tolist() == [-6.0]
    assert step.time.tolist() == [250.0, 500.0]
    assert step.weight.tolist() == [1.0, 1.0]


def test_an_error_of_the_image_costs_as_much_as_that_of_the_velocity() -> None:
    clean, t = images(5, 4, dtype=torch.float64), torch.tensor([0.01, 0.05, 0.1, 0.3, 0.6, 1.0]).double()
    noise, error = images(5, 4, seed=1, dtype=torch.float64), images(5, 4, seed=2, dtype=torch.float64)
    image, velocity = objective("flow", {"t_least": 0.05}), objective("flow", {"answer": "velocity"})
    step, same = image.corrupt_at(clean, noise, t), velocity.corrupt_at(clean, noise, t)
    assert torch.equal(step.target, clean)
    wrong = image.estimate(clean + error, step.z, t)
    expected = velocity.loss(wrong.noise - wrong.clean, same)
    expected[0] *= (0.01 / 0.05) ** 2  # below t_least it costs no more
    assert torch.allclose(image.loss(clean + error, step), expected)


def test_flow_times_are_logit_normal() -> None:
    draws = objective("flow", {"mean": 0.5, "std": 1.5}).corrupt(torch.zeros(20000, 1, 1, 1), seeded(0)).t
    logits = torch.logit(draws.double())
    assert float(logits.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(logits.std()) == pytest.approx(1.5, abs=0.03)


# ------------------------------------------------------------------------------------------ eps, v, x0


@pytest.mark.parametrize("name", PREDICTIONS)
def test_levels_are_equally_likely(name: str) -> None:
    t = objective(name, {"steps": 50}).corrupt(torch.zeros(20000, 1, 1, 1), seeded(0)).t
    levels, counts = (t * 50).round().unique(return_counts=True)
    assert levels.tolist() == list(range(1, 51))
    assert counts.min() > 300
    assert counts.max() < 500


def test_the_plain_loss_is_that_of_ddpm() -> None:
    aim, clean, noise = objective("eps"), images(5, 4), images(5, 4, seed=1)
    k = torch.tensor([1, 2, 10, 100, 500, 1000])
    step = aim.corrupt_at(clean, noise, k / 1000)
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[k - 1].view(
        -1, 1, 1, 1
    )
    assert torch.allclose(step.z.double(), kept.sqrt() * clean + (1 - kept).sqrt() * noise, atol=1e-6)
    assert torch.equal(step.target, noise)
    output = images(5, 4, seed=2)
    assert torch.allclose(aim.loss(output, step), (output - noise).square().mean((1, 2, 3)))


def test_min_snr_weights_by_hand() -> None:
    """Hang 2023 with gamma 5 at SNR 25, 5, 1/4 and at the clean image."""
    alpha = torch.tensor([25 / 26, 5 / 6, 0.2, 1.0], dtype=torch.float64).sqrt()
    level = Mix(alpha, (1 - alpha**2).clamp_min(0).sqrt())
    expected = {"eps": [1 / 5, 1, 1, 0], "v": [5 / 26, 5 / 6, 0.2, 0], "x0": [5, 5, 0.25, 5]}
    for name, values in expected.items():
        assert objective(name, {"min_snr": 5}).weight(level).tolist() == pytest.approx(values, abs=1e-9)
        assert objective(name).weight(level).tolist() == [1, 1, 1, 1]


def test_snr_is_finite_without_noise() -> None:
    level = Mix(torch.tensor([1.0, 0.8, 0.6]), torch.tensor([0.0, 0.6, 0.8]))
    capped, snr = snr_capped(level, 1.0)
    assert capped.tolist() == pytest.approx([1, 1, 0.5625])
    assert snr[1:].tolist() == pytest.approx([16 / 9, 9 / 16])
    assert snr[0].isfinite()


def test_with_min_snr_the_three_predictions_are_one_objective() -> None:
    """An error of the clean image costs min(SNR, gamma) times its square, whatever the network predicts."""
    clean, t = images(5, 4, dtype=torch.float64), torch.linspace(0.05, 0.95, 6, dtype=torch.float64)
    noise, error = images(5, 4, seed=1, dtype=torch.float64), 0.1 * images(5, 4, seed=2, dtype=torch.float64)
    for name in PREDICTIONS:
        aim = objective(name, {"min_snr": 5, "schedule": "cosine"})
        level, step = aim.level(t), aim.corrupt_at(clean, noise, t)
        wrong_noise = noise - (level.clean / level.noise).view(-1, 1, 1, 1) * error  # z stays what it is
        output = aim.target(level).of(clean + error, wrong_noise)
        snr = (level.clean / level.noise) ** 2
        expected = snr.clamp_max(5) * error.square().mean((1, 2, 3))
        assert torch.allclose(aim.loss(output, step), expected, rtol=1e-6), name


@pytest.mark.parametrize("name", PREDICTIONS)
def test_clipping_bounds_the_image_and_keeps_z(name: str) -> None:
    aim = objective(name, {"clip": 0.5})
    step = aim.corrupt(images(5, 4), seeded(0))
    estimate = aim.estimate(images(5, 4, seed=9), step.z, step.t)
    assert estimate.clean.abs().max() == 0.5
    assert torch.allclose(aim.level(step.t).of(*estimate), step.z, atol=1e-5)


def test_at_the_clean_image_nothing_is_divided_by_zero() -> None:
    aim = objective("x0")
    estimate = aim.estimate(images(5, 4), images(5, 4), torch.zeros(6))
    assert torch.equal(estimate.clean, images(5, 4))
    assert torch.equal(estimate.noise, torch.zeros(6, 2, 5, 4))


# ------------------------------------------------------------------------------------------ EDM

PAPER = {"sigma_data": 0.5, "p_mean": -1.2, "p_std": 1.2, "sigma_min": 0.002, "sigma_max": 80, "rho": 7}
S = torch.tensor([0.002, 0.05, 0.5, 2.0, 20.0, 80.0], dtype=torch.float64)


def edm_times() -> Tensor:
    return (S / 80) ** (1 / 7)


def edm() -> Objective:
    return objective("edm", PAPER)


def test_edm_is_preconditioned_as_in_table_1() -> None:
    clean, noise = images(5, 4, dtype=torch.float64), images(5, 4, seed=1, dtype=torch.float64)
    output, s = images(5, 4, seed=2, dtype=torch.float64), S.view(-1, 1, 1, 1)
    c_skip, c_out, c_in = 0.25 / (s**2 + 0.25), s * 0.5 / (s**2 + 0.25).sqrt(), 1 / (s**2 + 0.25).sqrt()
    step, x = edm().corrupt_at(clean, noise, edm_times()), clean + s * noise
    assert torch.allclose(step.z, c_in * x)
    assert torch.allclose(step.target, (clean - c_skip * x) / c_out)
    denoised = c_skip * x + c_out * output
    assert torch.allclose(edm().estimate(output, step.z, step.t).clean, denoised)
    weighting = (S**2 + 0.25) / (S * 0.5) ** 2
    assert torch.allclose(edm().loss(output, step), weighting * (denoised - clean).square().mean((1, 2, 3)))


def test_edm_has_the_right_limits() -> None:
    """Without noise the denoiser is the identity, in pure noise the network's answer alone."""
    answer = 3 * torch.ones(2, 1, 2, 2)
    z = torch.tensor([2.0, 2.0]).view(2, 1, 1, 1).expand(2, 1, 2, 2)  # c_in x
    calm, wild = edm().estimate(answer, z, torch.tensor([0.0, 1.0])).clean[:, 0, 0, 0].tolist()
    assert calm == pytest.approx(2.0 * 0.5)  # x = z sigma_data
    assert wild == pytest.approx(3.0 * 0.5, abs=0.02)  # c_out -> sigma_data


def test_edm_tells_the_logarithm_of_the_noise() -> None:
    expected = 1000 * (S / 0.002).log() / math.log(80 / 0.002)
    assert torch.allclose(edm().time(edm_times()), expected)


def test_edm_trains_on_log_normal_noise() -> None:
    t = edm().corrupt(torch.zeros(20000, 1, 1, 1), seeded(0)).t
    logs = (80 * t.double() ** 7).log()
    assert float(logs.mean()) == pytest.approx(-1.2, abs=0.03)
    assert float(logs.std()) == pytest.approx(1.2, abs=0.03)


def test_edm_samples_on_the_grid_of_equation_5() -> None:
    count = 18
    i = torch.arange(count, dtype=torch.float64)
    expected = (80 ** (1 / 7) + i / (count - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    assert torch.allclose(80 * edm().grid(count)[:-1] ** 7, expected)
