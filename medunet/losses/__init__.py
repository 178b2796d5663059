"""Losses, found by their file name in this folder; a new loss is one new file with `Options` and `build`."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from torch import Tensor

from medunet.config.base import parse
from medunet.errors import ConfigError
from medunet.losses._deep import deeply_supervised
from medunet.losses._ignored import ignoring

__all__ = ["Loss", "build", "deeply_supervised", "ignoring", "names"]

Loss = Callable[[Tensor, Tensor], Tensor]  # logits (B, K, *S) and target (B, *S) int64 to a scalar


def names() -> tuple[str, ...]:
    """Return the names of all losses, sorted; imports none of them. A file with a leading _ is no loss."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def build(name: str, options: Mapping[str, Any]) -> Loss:
    """Return the loss `name`."""
    if name not in names():
        raise ConfigError(f"loss.name: no loss {name!r}; there are {', '.join(names())}")
    module = import_module(f"{__name__}.{name}")
    loss: Loss = module.build(parse(module.Options, options, where="loss.options"))
    return loss
