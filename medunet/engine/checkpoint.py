"""Checkpoints without pickle: one safetensors file a checkpoint, written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from medunet.engine.ema import Ema
from medunet.errors import ConfigError, DataError

KEEP = 2  # the newest and the one before, in case a disk damages the newest


def save_weights(path: Path, weights: dict[str, Tensor], facts: dict[str, str]) -> None:
    """Write tensors and facts under `path` in one step: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in weights.items()}, temporary, facts
        )
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: the weights could not be written: {error}. Free some disk space.") from None
    finally:
        temporary.unlink(missing_ok=True)


def load_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file; a pickle or a damaged file is refused unread."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise DataError(
            f"{path}: not readable weights (safetensors): {error}. Train again or copy anew."
        ) from None


class Checkpoints:
    """The checkpoints of one fold."""

    def __init__(self, folder: Path) -> None:
        """Look after `folder`; it is made with the first checkpoint."""
        self.folder = folder

    def save(
        self,
        step: int,
        network: nn.Module,
        ema: Ema | None,
        optimiser: torch.optim.Optimizer,
        facts: dict[str, Any],
    ) -> None:
        """Write everything that training needs to go on from `step`, then drop older checkpoints."""
        tensors = {f"network.{name}": p for name, p in network.state_dict().items()}
        if ema is not None:
            tensors |= {f"ema.{name}": p for name, p in ema.state().items()}
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(v) for name, v in state.items()}
        save_weights(self.folder / f"step_{step:08d}.safetensors", tensors, {"facts": json.dumps(facts)})
        for old in self._found()[:-KEEP]:
            old.unlink(missing_ok=True)

    def restore(
        self, network: nn.Module, ema: Ema | None, optimiser: torch.optim.Optimizer
    ) -> dict[str, Any] | None:
        """Load the newest readable checkpoint and return its facts; None if there is none."""
        for path in reversed(self._found()):
            try:
                with safe_open(path, "pt") as file:
                    facts: dict[str, Any] = json.loads(file.metadata()["facts"])
                tensors = load_weights(path)
            except (SafetensorError, DataError, KeyError, ValueError):
                continue  # a damaged file: the one before it still serves
            self._apply(path, tensors, network, ema, optimiser)
            return facts
        return None

    def clear(self) -> None:
        """Remove all checkpoints, and what a kill left of one (after the final weights are written)."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob("step_*.safetensors"))

    @staticmethod
    def _apply(
        path: Path,
        tensors: dict[str, Tensor],
        network: nn.Module,
        ema: Ema | None,
        optimiser: torch.optim.Optimizer,
    ) -> None:
        try:
            network.load_state_dict(_part(tensors, "network."))
            if ema is not None:
                ema.load(_part(tensors, "ema."))
        except (RuntimeError, KeyError) as error:
            raise ConfigError(
                f"{path}: belongs to another network: {error}. Give the run another --name."
            ) from None
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in _part(tensors, "optimiser.").items():
            index, name = key.split(".", 1)
            states.setdefault(int(index), {})[name] = value
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": states, "param_groups": groups})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
