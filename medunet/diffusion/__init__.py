"""Diffusion and flow on tensors: what a network is trained to answer, and how its answers become images.

Objectives and samplers are found by their file names in `objectives/` and `samplers/`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

import torch
from torch import Generator, Tensor

from medunet.config.base import parse
from medunet.diffusion import objectives, samplers
from medunet.diffusion.guidance import guided
from medunet.diffusion.process import Corrupted, Estimate, Objective
from medunet.diffusion.samplers import Network, OnStep, Sampler
from medunet.errors import ConfigError

__all__ = [
    "Corrupted",
    "Estimate",
    "Network",
    "Objective",
    "Sampler",
    "guided",
    "objective",
    "objective_names",
    "sample",
    "sampler",
    "sampler_names",
]


def objective_names() -> tuple[str, ...]:
    """Return the names of all objectives, sorted; imports none of them."""
    return _names(objectives.__path__)


def sampler_names() -> tuple[str, ...]:
    """Return the names of all samplers, sorted; imports none of them."""
    return _names(samplers.__path__)


def objective(name: str, options: Mapping[str, Any] = {}) -> Objective:
    """Return the objective `name`."""
    if name not in objective_names():
        raise ConfigError(f"objective.name: no objective {name!r}; there are {', '.join(objective_names())}")
    module = import_module(f"{objectives.__name__}.{name}")
    return cast(Objective, module.build(parse(module.Options, options, where="objective.options")))


def sampler(name: str) -> Sampler:
    """Return the sampler `name`: a function, see `samplers.Sampler`. That of DDIM also takes `eta`."""
    if name not in sampler_names():
        raise ConfigError(f"sampler: no sampler {name!r}; there are {', '.join(sampler_names())}")
    return cast(Sampler, import_module(f"{samplers.__name__}.{name}").sample)


def sample(
    name: str,
    network: Network,
    noise: Tensor,
    objective: Objective,
    steps: int,
    generator: Generator | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Return clean images (N, C, *S) that the sampler `name` makes of unit normal noise, without gradients.

    The network is called with z and times (N,); `on_step` is told how many steps are done. Raises ConfigError
    if the sampler does not fit the objective.
    """
    if steps < 1:
        raise ConfigError(f"steps: found {steps}, expected 1 or more.")
    with torch.no_grad():
        return sampler(name)(network, noise, objective, steps, generator, on_step)


def _names(path: list[str]) -> tuple[str, ...]:
    found = (module.name for module in pkgutil.iter_modules(path))
    return tuple(sorted(name for name in found if not name.startswith("_")))
