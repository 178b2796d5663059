"""One process or many (torchrun): rank, device and the few things that ranks must agree on."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from medunet.errors import ConfigError


@dataclass(frozen=True)
class World:
    """This process among all that train together."""

    rank: int
    size: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def agree(self, values: list[float]) -> list[float]:
        """Return rank 0's values on every rank, so that all stop and decay at the same step."""
        if self.size == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return [float(v) for v in shared.cpu()]

    def most(self, value: float) -> float:
        """Return the largest value over all ranks (a stop signal may reach any of them)."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return float(shared)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a scalar over all ranks."""
        if self.size == 1:
            return value
        shared = value.detach().clone()
        dist.all_reduce(shared, dist.ReduceOp.SUM)
        return shared / self.size

    def wrap(self, network: nn.Module) -> nn.Module:
        """Return the network with gradients averaged over ranks (DistributedDataParallel)."""
        if self.size == 1:
            return network
        ids = [self.device.index] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(network, device_ids=ids)

    def wait(self) -> None:
        """Wait until all ranks are here."""
        if self.size > 1:
            dist.barrier()


def pick_device(name: str | None) -> torch.device:
    """Return the asked device, or the best one of this machine; ConfigError if it is not there."""
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device("cpu")
    kind = name.split(":")[0]
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(kind, False):
        found = ", ".join(k for k, there in here.items() if there)
        raise ConfigError(f"--device {name}: not on this machine; it has: {found}.")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"--device {name}: expected cpu, cuda, cuda:1 or mps.") from None
    if kind == "cuda" and device.index is None:  # torchrun gives each process its own
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return device


def join(device: torch.device) -> World:
    """Join the processes that torchrun started (NCCL on CUDA, gloo on CPU), or be alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(0, 1, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # long: the others wait while rank 0 prepares a data set
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(days=1))
    return World(dist.get_rank(), size, device)


def leave(world: World) -> None:
    """Leave the group; the counterpart of `join`."""
    if world.size > 1:
        dist.destroy_process_group()
