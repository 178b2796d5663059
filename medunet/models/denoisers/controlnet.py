"""A U-Net that knows no mask, and a branch beside its encoder that does (ControlNet, Zhang 2023).

For a base that was trained on many unlabelled scans; from scratch, a concatenated mask (`unet2d`, `unet3d`)
is followed better and costs less.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

from torch import Tensor, nn

from medunet.errors import ConfigError
from medunet.models.denoiser import Denoiser, Inputs
from medunet.models.unets import Branch2d, Branch3d, UNet2d, UNet3d, UNetOptions

DIMS = (2, 3)
BRANCH = "core.branch."


class Options(UNetOptions):
    """See `UNetOptions`; base and branch have the same."""


class Core(nn.Module):
    """Base and branch."""

    def __init__(self, base: nn.Module, branch: nn.Module) -> None:
        """Join a fresh base and branch."""
        super().__init__()
        self.network = base  # named as in `Concatenated`: weights of a base are found by their names
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


def load_base(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Start from a base: weights of `unet2d` or `unet3d`, trained with the same options and no labels.

    The base is frozen and the branch starts as a copy of its encoder, as published. ConfigError if a weight
    of the base is missing or has another shape.
    """
    state = network.state_dict()
    base = {key: state[key].shape for key in state if not key.startswith(BRANCH)}
    wrong = [key for key, shape in base.items() if key not in weights or weights[key].shape != shape]
    if wrong:
        raise ConfigError(
            f"base: {len(wrong)} of {len(base)} weights are missing or have another shape, first {wrong[0]}. "
            "Name a generator that was trained with the same options, attributes and no labels."
        )
    source = {key: key.replace(BRANCH, "core.network.", 1) for key in state}
    network.load_state_dict(state | {key: weights[name] for key, name in source.items() if name in weights})
    for key, parameter in network.named_parameters():
        parameter.requires_grad_(key.startswith(BRANCH))
