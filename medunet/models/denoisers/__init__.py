"""Denoisers, found by their file name: `DIMS`, `class Options` and `build(options, **inputs)` in each."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Unpack

from torch import nn

from medunet.config.base import parse
from medunet.errors import ConfigError
from medunet.models.denoiser import Inputs, PatchOptions


def names() -> tuple[str, ...]:
    """Return the names of all denoisers, sorted; imports none of them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def multiple_of(name: str, options: Mapping[str, Any]) -> int:
    """Return what each axis of an image must be divisible by, without building the denoiser."""
    known = _options(name, options)
    return int(known.patch * known.downsampling)


def build(name: str, options: Mapping[str, Any], **inputs: Unpack[Inputs]) -> nn.Module:
    """Return the denoiser `name` with fresh weights; `inputs` is what the data decide (see `Inputs`).

    Forward and `.multiple`, what each axis of an image must be divisible by: see `medunet.models.denoiser`.
    """
    known, module = _options(name, options), import_module(f"{__name__}.{name}")
    if inputs["dims"] not in module.DIMS:
        able = " and ".join(f"{dims}D" for dims in module.DIMS)
        raise ConfigError(
            f"network.name: {name} is for {able}, the images are {inputs['dims']}D. "
            f"There are {', '.join(names())}."
        )
    network: nn.Module = module.build(known, **inputs)
    return network


def _options(name: str, options: Mapping[str, Any]) -> PatchOptions:
    if name not in names():
        raise ConfigError(f"network.name: no denoiser {name!r}; there are {', '.join(names())}")
    module = import_module(f"{__name__}.{name}")
    found: PatchOptions = parse(module.Options, options, where="network.options")
    return found
