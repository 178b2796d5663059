"""Rectified flow: straight lines from image to noise (Liu 2023, equation 1; Lipman 2023).

Times are drawn as in Esser 2024, section 3.1. The network answers with the image, from which the velocity
follows, and whose error is that of the velocity (Li & He 2025, arXiv 2511.13720): noise fills all of
space and images little of it, so a small network learns to tell the image much sooner. Or with the velocity.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Generator, Tensor

from medunet.config.base import Record
from medunet.diffusion.process import Mix, Objective, Times


class Options(Record):
    """What the network answers, which times are trained most, and the shift towards noise."""

    answer: Literal["image", "velocity"] = "image"
    t_least: float = Field(0.2, gt=0, lt=1)  # `image`: below it the weight in the loss, 1 / t^2, stays
    # Of the logit of t before the shift. More than 0 trains more on noisy images, where the mask is all that
    # is known: with few steps that decides whether a scan obeys its mask (docs/synthesis.md).
    mean: float = 1.5
    std: float = Field(1.0, gt=0)
    shift: float = Field(
        1.0, gt=0
    )  # s t / (1 + (s - 1) t), in training and in sampling; 1: none; > 1 in large images


class Flow(Objective):
    """z = (1 - t) clean + t noise."""

    def __init__(self, options: Options) -> None:
        """Keep the options."""
        self.options = options

    def draw(self, count: int, generator: Generator | None) -> Times:
        """Return shifted logit-normal times."""
        device = generator.device if generator else None
        logits = torch.randn(count, generator=generator, device=device)
        return self._shifted(torch.sigmoid(self.options.mean + self.options.std * logits))

    def level(self, t: Times) -> Mix:
        """Return 1 - t and t."""
        return Mix(1 - t, t)

    def target(self, level: Mix) -> Mix:
        """Return noise - clean, the velocity dz / dt; or clean alone."""
        if self.options.answer == "velocity":
            return self.slope(level)
        return Mix(torch.ones_like(level.clean), torch.zeros_like(level.clean))

    def weight(self, level: Mix) -> Times:
        """Return 1; where the answer is the image 1 / t^2, which makes it the error of the velocity."""
        if self.options.answer == "velocity":
            return super().weight(level)
        return level.noise.clamp_min(self.options.t_least).square().reciprocal()

    def slope(self, level: Mix) -> Mix:
        """Return the velocity noise - clean."""
        one = torch.ones_like(level.clean)
        return Mix(-one, one)

    def grid(self, steps: int) -> Float[Tensor, " {steps}+1"]:
        """Return evenly spaced times from 1 to 0, shifted as in training."""
        return self._shifted(torch.linspace(1, 0, steps + 1, dtype=torch.float64))

    def _shifted(self, t: Times) -> Times:
        shift = self.options.shift
        return shift * t / (1 + (shift - 1) * t)


def build(options: Options) -> Flow:
    """Return the objective."""
    return Flow(options)
