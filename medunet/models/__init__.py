"""Networks, found by their file name in `models/networks`; a new network is one new file there."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Unpack

from torch import nn

from medunet.config.base import parse
from medunet.errors import ConfigError
from medunet.models import networks
from medunet.models.blocks import Shape


def names() -> tuple[str, ...]:
    """Return the names of all networks, sorted; imports none of them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(networks.__path__)))


def build(name: str, options: Mapping[str, Any], **shape: Unpack[Shape]) -> nn.Module:
    """Return the network `name` with fresh weights; `shape` is what the plan decided (see `Shape`).

    It has `.margin` (voxels lost at each border) and `.snap(patch)` (the patch size it accepts). Forward maps
    (N, C, *(patch + 2 * margin)) to logits (N, K, *patch), in training with deep supervision to a tuple.
    """
    if name not in names():
        raise ConfigError(f"network.name: no network {name!r}; there are {', '.join(names())}")
    _check(shape)
    module = import_module(f"{networks.__name__}.{name}")
    network: nn.Module = module.build(parse(module.Options, options, where="network.options"), **shape)
    return network


def _check(shape: Shape) -> None:
    stages, dims = len(shape["strides"]), shape["dims"]
    if dims not in (2, 3):
        raise ConfigError(f"plan.dims: found {dims}, expected 2 or 3. Prepare the data set again.")
    for key in ("kernels", "features"):
        if len(shape[key]) != stages:
            raise ConfigError(
                f"plan.{key}: found {len(shape[key])} entries, expected {stages} as in plan.strides."
            )
    if any(len(entry) != dims for entry in (*shape["strides"], *shape["kernels"])):
        raise ConfigError(f"plan.strides, plan.kernels: every entry needs {dims} numbers, one per axis.")
    if stages < 2 or set(shape["strides"][0]) != {1}:
        raise ConfigError(
            f"plan.strides: found {shape['strides']}, expected two stages or more, the first all ones."
        )
