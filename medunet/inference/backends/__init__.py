"""Ways to run a trained network, found by their file name; a new one is one new file here.

A file has `missing(device)`, which says why it cannot run there (None: it can), and `build(network, job)`,
which returns a module that maps (B, C, *seen) to logits (B, K, *patch) as the network does, only faster, and
keeps its `margin`.
"""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol, cast, runtime_checkable

import torch
from torch import nn

from medunet.errors import ConfigError
from medunet.inference.forward import Precision

PREFERRED = ("openvino", "torch")  # by `auto`: the first that can run


@dataclass(frozen=True)
class Job:
    """What a network is going to be run on."""

    seen_voxels: tuple[int, ...]  # of a tile, with the network's margin
    channels: int
    batch_size: int
    precision: Precision  # wished for; fp32 where the device has no bf16
    device: torch.device
    cache: Path | None = None  # a folder for what was converted
    identity: str = ""  # of weights and architecture: what was converted for another is not used


class Built(NamedTuple):
    """A network behind a backend."""

    network: nn.Module
    precision: Precision  # in which it is computed
    kept: Path | None = None  # the folder of what was converted, where there is one


@runtime_checkable
class Backend(Protocol):
    """A file in this folder."""

    def missing(self, device: torch.device) -> str | None:
        """Say why the backend cannot run there."""

    def build(self, network: nn.Module, job: Job) -> Built:
        """Return the network, converted."""


def names() -> tuple[str, ...]:
    """Return the names of all backends, sorted; imports none of them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(name: str, device: torch.device) -> tuple[str, Backend]:
    """Return the backend `name`, or for `auto` the best one here, with its name.

    ConfigError: there is none of that name, or it cannot run here.
    """
    for candidate in PREFERRED if name == "auto" else ():
        if (found := _load(candidate)).missing(device) is None:
            return candidate, found
    if name not in names():
        raise ConfigError(f"--backend {name}: expected auto, {', '.join(names())}.")
    backend = _load(name)
    if reason := backend.missing(device):
        raise ConfigError(f"--backend {name}: {reason}. Or use --backend torch.")
    return name, backend


def _load(name: str) -> Backend:
    return cast(Backend, import_module(f"{__name__}.{name}"))
