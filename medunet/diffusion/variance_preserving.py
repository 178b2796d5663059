"""The process of DDPM, alpha^2 + sigma^2 = 1 in discrete steps (Ho 2020), which eps, v and x0 share."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Generator, Tensor

from medunet.config.base import Record
from medunet.diffusion.process import Estimate, Images, Mix, Objective, Times, wide
from medunet.errors import ConfigError

LARGEST_BETA = 0.999  # Nichol & Dhariwal 2021, equation 17 ff.


class Options(Record):
    """The noise schedule and the weighting."""

    schedule: Literal["cosine", "linear"] = "cosine"
    steps: int = Field(1000, ge=50)  # of the training process; fewer would not end in noise
    min_snr: float | None = Field(None, gt=0)  # None: plain squared error; 5 in Hang 2023
    clip: float | None = Field(None, gt=0)  # clean estimates are kept within +-clip, as Ho 2020 do at 1


class VariancePreserving(Objective):
    """z_k = sqrt(a_k) clean + sqrt(1 - a_k) noise for k = 0..T, a_0 = 1 (Ho 2020, equation 4); t = k / T."""

    def __init__(self, options: Options) -> None:
        """Tabulate the schedule."""
        self.options = options
        self.steps = options.steps
        self.betas = (_linear if options.schedule == "linear" else _cosine)(options.steps)
        kept = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - self.betas, 0)])
        self._table = torch.stack([kept.sqrt(), (1 - kept).sqrt()])

    @property
    def first(self) -> int:
        """Return the step k at which sampling starts: T, unless answers are of no use so deep in noise."""
        return self.steps

    def draw(self, count: int, generator: Generator | None) -> Times:
        """Return times of steps 1..T, all equally likely."""
        device = generator.device if generator else None
        return torch.randint(1, self.steps + 1, (count,), generator=generator, device=device) / self.steps

    def level(self, t: Times) -> Mix:
        """Return alpha and sigma of the nearest step.

        The table of doubles stays where it was made: Apple's GPU has none.
        """
        steps = (t * self.steps).round().long().to(self._table.device)
        return Mix(*self._table[:, steps].to(t.dtype).to(t.device))

    def slope(self, level: Mix) -> Mix:
        """Return dz / dphi for alpha = cos phi, sigma = sin phi: bounded everywhere (Salimans & Ho 2022)."""
        return Mix(-level.noise, level.clean)

    def grid(self, steps: int) -> Float[Tensor, " {steps}+1"]:
        """Return evenly spaced steps from the last one down to 0 (`trailing` in Lin 2024, table 2)."""
        if steps > self.first:
            raise ConfigError(
                f"steps: found {steps}, expected at most {self.first}: this objective was trained at so many "
                "levels of noise. Ask for fewer steps."
            )
        even = self.first * (1 - torch.arange(steps + 1, dtype=torch.float64) / steps)
        return even.round() / self.steps

    def estimate(self, output: Images, z: Images, t: Times) -> Estimate:
        """Return the clean image, within the clip range if there is one, and the noise that goes with it."""
        estimate = super().estimate(output, z, t)
        if self.options.clip is None:
            return estimate
        return self.completed(estimate.clean.clamp(-self.options.clip, self.options.clip), z, t)

    def completed(self, clean: Images, z: Images, t: Times) -> Estimate:
        """Return an estimate from its clean image; without noise in z there is none to be found."""
        alpha, sigma = (wide(part, z) for part in self.level(t))
        noise = (z - alpha * clean) / sigma
        return Estimate(clean, torch.where(sigma > 0, noise, torch.zeros_like(noise)))


def snr_capped(level: Mix, cap: float) -> tuple[Tensor, Tensor]:
    """Return min(SNR, cap) and SNR itself, (N,) each, SNR = alpha^2 / sigma^2."""
    snr = (level.clean / level.noise).square().clamp_max(torch.finfo(level.clean.dtype).max)
    return snr.clamp_max(cap), snr


def _linear(steps: int) -> Tensor:
    """Return betas from 1e-4 to 0.02 for 1000 steps (Ho 2020, section 4), scaled for other numbers."""
    scale = 1000 / steps
    return torch.linspace(scale * 1e-4, scale * 0.02, steps, dtype=torch.float64)


def _cosine(steps: int) -> Tensor:
    """Return betas of the cosine schedule (Nichol & Dhariwal 2021, equation 17), offset s = 0.008."""
    k = torch.arange(steps + 1, dtype=torch.float64)
    kept = ((k / steps + 0.008) / 1.008 * math.pi / 2).cos().square()
    return (1 - kept[1:] / kept[:-1]).clamp_max(LARGEST_BETA)
