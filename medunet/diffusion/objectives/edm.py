"""The preconditioned denoiser of Karras 2022 ("Elucidating the design space", table 1, column "Ours").

There x = clean + s noise, and the denoiser is D = c_skip x + c_out F(c_in x). Here z = c_in x is what the
network F sees, and (D - c_skip x) / c_out what it is to answer; both are mixtures of clean and noise.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Generator, Tensor

from medunet.config.base import Record
from medunet.diffusion.process import Mix, Objective, Times


class Options(Record):
    """The paper's values for images of std 0.5 (0.5, -1.2, 0.002, 80), here for images of std 1."""

    sigma_data: float = Field(1.0, gt=0)  # std of the clean images
    p_mean: float = -1.2 + math.log(2)  # of ln s in training
    p_std: float = Field(1.2, gt=0)
    sigma_min: float = Field(0.004, gt=0)
    sigma_max: float = Field(160.0, gt=0)
    rho: float = Field(7.0, ge=1)  # more of it puts more steps near the clean image


class Edm(Objective):
    """s = sigma_max t^rho, so that the paper's grid of sampling (equation 5) is evenly spaced in t."""

    def __init__(self, options: Options) -> None:
        """Keep the options."""
        self.options = options

    def draw(self, count: int, generator: Generator | None) -> Times:
        """Return times of log-normal s, within the range of sampling."""
        device = generator.device if generator else None
        logs = self.options.p_mean + self.options.p_std * torch.randn(
            count, generator=generator, device=device
        )
        s = logs.exp().clamp(self.options.sigma_min, self.options.sigma_max)
        return (s / self.options.sigma_max) ** (1 / self.options.rho)

    def level(self, t: Times) -> Mix:
        """Return c_in and c_in s."""
        s = self._s(t)
        c_in = (s.square() + self.options.sigma_data**2).rsqrt()
        return Mix(c_in, c_in * s)

    def target(self, level: Mix) -> Mix:
        """Return (clean - c_skip x) / c_out, simplified so that no s divides.

        The loss has the weight 1: the paper's lambda(s) c_out(s)^2 is 1 at every s.
        """
        return Mix(level.noise / self.options.sigma_data, -level.clean * self.options.sigma_data)

    def slope(self, level: Mix) -> Mix:
        """Return dx / ds = noise (equation 3)."""
        return Mix(torch.zeros_like(level.clean), torch.ones_like(level.noise))

    def grid(self, steps: int) -> Float[Tensor, " {steps}+1"]:
        """Return times of `steps` levels from sigma_max to sigma_min, then 0 (equation 5)."""
        last = (self.options.sigma_min / self.options.sigma_max) ** (1 / self.options.rho)
        noisy = torch.linspace(1, last, steps, dtype=torch.float64)
        return torch.cat([noisy, torch.zeros(1, dtype=torch.float64)])

    def time(self, t: Times) -> Times:
        """Return ln s, the paper's 4 c_noise, stretched from sigma_min..sigma_max to 0..1000."""
        low, high = math.log(self.options.sigma_min), math.log(self.options.sigma_max)
        return 1000 * (self._s(t).clamp_min(self.options.sigma_min).log() - low) / (high - low)

    def _s(self, t: Times) -> Times:
        return self.options.sigma_max * t**self.options.rho


def build(options: Options) -> Edm:
    """Return the objective."""
    return Edm(options)
