"""The network as it is. On a GPU: channels-last and compiled, with the compiler's cache kept on disk."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from medunet.inference.backends import Built, Job

LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}


def missing(device: torch.device) -> str | None:  # noqa: ARG001  the contract
    """Return None: torch runs wherever medunet does."""
    return None


def build(network: nn.Module, job: Job) -> Built:
    """Return the network itself on a CPU; on a GPU a compiled one, whose first tile takes a minute."""
    if job.device.type != "cuda" or find_spec("triton") is None:
        return Built(network, job.precision)
    # The cache holds pickles: it lies in the user's own folder, never beside a run that came from elsewhere.
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(home / "medunet" / "torch_compile"))
    return Built(Compiled(network, job), job.precision)


class Compiled(nn.Module):
    """A network compiled for one shape of batch; a smaller last batch is filled up."""

    def __init__(self, network: nn.Module, job: Job) -> None:
        """Bring weights into channels-last memory; nothing is compiled before the first batch."""
        super().__init__()
        self.margin = network.margin
        self._layout, self._batch_size = LAYOUTS[len(job.seen_voxels)], job.batch_size
        network.to(memory_format=self._layout)  # type: ignore[call-overload]
        self._compiled = torch.compile(network, dynamic=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (B, C, *seen) to logits (B, K, *patch)."""
        count = len(inputs)
        whole = inputs.new_zeros((self._batch_size, *inputs.shape[1:]))
        whole[:count] = inputs
        logits: Tensor = self._compiled(whole.contiguous(memory_format=self._layout))
        return logits[:count]
