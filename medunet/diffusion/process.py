"""How an image dissolves into noise and what a network is asked about it: the contract of all objectives.

Every objective is written as two mixtures of the same two images. What the network sees is
z = alpha clean + sigma noise, what it is to answer is target = a clean + b noise. Two equations, two
unknowns: an answer gives back both images, and every sampler works from these alone.

Time runs from t = 0, the clean image, to t = 1, unit normal noise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Generator, Tensor

Times = Float[Tensor, " n"]
Images = Float[Tensor, "n c *s"]


class Estimate(NamedTuple):
    """What an answer says about z: the clean image and the noise in it, (N, C, *S) each."""

    clean: Tensor
    noise: Tensor


class Mix(NamedTuple):
    """How much of the clean image and of the noise goes into something, (N,) each."""

    clean: Tensor
    noise: Tensor

    def of(self, clean: Images, noise: Images) -> Images:
        """Return the mixture."""
        return wide(self.clean, clean) * clean + wide(self.noise, noise) * noise


class Corrupted(NamedTuple):
    """All that one training step needs."""

    z: Tensor  # (N, C, *S) what the network sees
    time: Tensor  # (N,) what the network is told, 0 to 1000
    target: Tensor  # (N, C, *S) what it is to answer
    weight: Tensor  # (N,) of each sample in the loss
    t: Tensor  # (N,) 0 to 1


def wide(values: Times, like: Images) -> Tensor:
    """Return values (N,) as (N, 1, ..., 1), to be multiplied with images."""
    return values.view(-1, *(1,) * (like.ndim - 1))


def solve(first: Mix, mixed: Images, second: Mix, other: Images) -> Estimate:
    """Return the two images of which `first` makes `mixed` and `second` makes `other`."""
    (a, b), (c, d) = ([wide(part, mixed) for part in mix] for mix in (first, second))
    determinant = a * d - b * c
    return Estimate((d * mixed - b * other) / determinant, (a * other - c * mixed) / determinant)


def normal_like(images: Tensor, generator: Generator | None) -> Tensor:
    """Return unit normal noise, drawn on the generator's device: whatever the device of the images."""
    device = generator.device if generator else images.device
    return torch.randn(images.shape, generator=generator, device=device, dtype=images.dtype).to(images.device)


class Objective(ABC):
    """A way to add noise, a question to the network, and a weight for its errors."""

    @abstractmethod
    def draw(self, count: int, generator: Generator | None) -> Times:
        """Return random training times, on the generator's device."""

    @abstractmethod
    def level(self, t: Times) -> Mix:
        """Return alpha and sigma: what z is made of at a time."""

    @abstractmethod
    def target(self, level: Mix) -> Mix:
        """Return what the right answer is made of at a level."""

    @abstractmethod
    def slope(self, level: Mix) -> Mix:
        """Return what dz (or, where z is scaled, d(z / alpha)) is made of on the way: Heun averages it."""

    @abstractmethod
    def grid(self, steps: int) -> Float[Tensor, " {steps}+1"]:
        """Return the times of a sampling with so many steps, from 1 (or where sampling starts) down to 0."""

    def weight(self, level: Mix) -> Times:
        """Return the weight of each sample in the loss: 1, unless an objective says otherwise."""
        return torch.ones_like(level.clean)

    def time(self, t: Times) -> Times:
        """Return what the network is told about a time, 0 to 1000."""
        return 1000 * t

    def corrupt(self, clean: Images, generator: Generator | None = None) -> Corrupted:
        """Return a training step at random times with random noise."""
        t = self.draw(len(clean), generator).to(clean.device)
        return self.corrupt_at(clean, normal_like(clean, generator), t)

    def corrupt_at(self, clean: Images, noise: Images, t: Times) -> Corrupted:
        """Return the training step with given noise at given times (0 to 1); `corrupt` draws both."""
        level = self.level(t)
        target = self.target(level).of(clean, noise)
        return Corrupted(level.of(clean, noise), self.time(t), target, self.weight(level), t)

    def loss(
        self, output: Images, corrupted: Corrupted, region_weight: Float[Tensor, "n 1 *s"] | None = None
    ) -> Times:
        """Return the mean squared error of each sample, weighted; in float32 or better.

        `region_weight` says which voxels matter more. It is divided by its mean per sample, so that an image
        with a large heavy region does not outweigh the others.
        """
        error = (output.to(corrupted.target.dtype) - corrupted.target).square()
        if region_weight is not None:
            axes = tuple(range(1, error.ndim))
            error = error * (region_weight / region_weight.mean(axes, keepdim=True))
        return corrupted.weight * error.flatten(1).mean(1)

    def estimate(self, output: Images, z: Images, t: Times) -> Estimate:
        """Return the clean image and the noise that follow from the network's answer at time `t` (0 to 1)."""
        level = self.level(t)
        return solve(level, z, self.target(level), output.to(z.dtype))
