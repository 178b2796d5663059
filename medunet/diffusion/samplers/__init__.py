"""Samplers, found by their file name: each file has one function `sample` of the signature `Sampler`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Generator, Tensor

from medunet.diffusion.process import Estimate, Images, Objective, Times
from medunet.diffusion.variance_preserving import VariancePreserving
from medunet.errors import ConfigError

Network = Callable[[Tensor, Tensor], Tensor]  # z (N, C, *S) and time (N,) to an answer (N, C, *S)
OnStep = Callable[[int], None]  # is told how many steps are done


@runtime_checkable
class Sampler(Protocol):
    """What a file here holds as `sample`: it turns unit normal noise (N, C, *S) into images."""

    def __call__(
        self,
        network: Network,
        noise: Tensor,
        objective: Objective,
        steps: int,
        generator: Generator | None = None,
        on_step: OnStep | None = None,
    ) -> Tensor:
        """Return clean images; only samplers that add noise on the way use the generator."""


class Step(NamedTuple):
    """One step of a walk from noise to image, (N,) each."""

    now: Tensor
    then: Tensor
    last: bool


def walk(objective: Objective, steps: int, noise: Images, on_step: OnStep | None) -> Iterator[Step]:
    """Yield the steps of the objective's grid; a step is reported when the next one is asked for."""
    times = objective.grid(steps).to(noise.device, noise.dtype)
    for done, (now, then) in enumerate(pairwise(times), start=1):
        yield Step(now.expand(len(noise)), then.expand(len(noise)), last=done == steps)
        if on_step:
            on_step(done)


def ask(network: Network, objective: Objective, z: Images, t: Times) -> Estimate:
    """Return what the network says about z."""
    return objective.estimate(network(z, objective.time(t)), z, t)


def variance_preserving(objective: Objective, sampler: str) -> VariancePreserving:
    """Return the objective if its process is that of DDPM, or say which samplers it can have."""
    if isinstance(objective, VariancePreserving):
        return objective
    raise ConfigError(
        f"sampler: {sampler} is made for the objectives eps, v and x0, not for "
        f"{type(objective).__module__.rpartition('.')[2]}. Choose euler, heun, dpmpp or unipc."
    )
