"""A U-Net that knows no mask, and a branch beside its encoder that does (ControlNet, Zhang 2023).

It is trained from scratch, base and branch together; a concatenated mask (`unet2d`, `unet3d`) is followed
better and costs less.
"""

from __future__ import annotations

from typing import Unpack

from torch import Tensor, nn

from medunet.errors import ConfigError
from medunet.models.denoiser import Denoiser, Inputs
from medunet.models.unets import Branch2d, Branch3d, UNet2d, UNet3d, UNetOptions

DIMS = (2, 3)


class Options(UNetOptions):
    """See `UNetOptions`; base and branch have the same."""


class Core(nn.Module):
    """Base and branch."""

    def __init__(self, base: nn.Module, branch: nn.Module) -> None:
        """Join a fresh base and branch."""
        super().__init__()
        self.network = base
        self.branch = branch

    def forward(self, z: Tensor, mask: Tensor, time: Tensor, tokens: Tensor) -> Tensor:
        """Map patches z (N, C, *S) and mask (N, M, *S) to (N, C, *S)."""
        out: Tensor = self.network(z, time, tokens, self.branch(z, mask, time, tokens))
        return out


def build(options: Options, **inputs: Unpack[Inputs]) -> nn.Module:
    """Return the network with fresh weights; ConfigError without labels."""
    if not inputs["classes"]:
        raise ConfigError("network.name: controlnet needs labels, found 0. Use unet2d or unet3d without.")
    image, mask = options.widths(inputs)
    flat = inputs["dims"] == 2
    base = (UNet2d if flat else UNet3d)(options, image, image)
    branch = (Branch2d if flat else Branch3d)(options, image, mask)
    return Denoiser(Core(base, branch), options, inputs)
