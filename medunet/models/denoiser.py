"""What every denoiser shares: image space outside, patches and attribute tokens inside, sizes checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from medunet.config.attributes import Attribute
from medunet.config.base import Record
from medunet.errors import ConfigError
from medunet.models.patchify import patchify, unpatchify
from medunet.models.tokens import AttributeTokens


class Inputs(TypedDict):
    """What the data decide about a denoiser; every denoiser's `build` takes these by keyword."""

    dims: int
    channels: int  # of the image or latent
    classes: int  # foreground labels of the mask; 0: the network is told no mask
    attributes: Sequence[Attribute]


class PatchOptions(Record):
    """What every denoiser needs to know of its core."""

    patch: int = Field(2, ge=1)  # voxels per axis that become channels before the network
    token_width: int = Field(256, ge=1)

    @property
    def downsampling(self) -> int:
        """Return how much coarser the deepest level is than the first, per axis."""
        return 1

    def widths(self, inputs: Inputs) -> tuple[int, int]:
        """Return how many channels image and mask have in patches."""
        voxels = self.patch ** inputs["dims"]
        return inputs["channels"] * voxels, inputs["classes"] * voxels


class Concatenated(nn.Module):
    """The usual core: a network that sees image and mask side by side."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap `network(z, time, tokens)`."""
        super().__init__()
        self.network = network

    def forward(self, z: Tensor, mask: Tensor, time: Tensor, tokens: Tensor) -> Tensor:
        """Map patches z (N, C, *S) and mask (N, M, *S) to (N, C, *S)."""
        out: Tensor = self.network(torch.cat([z, mask], 1), time, tokens)
        return out


class Denoiser(nn.Module):
    """Predicts noise, velocity or image (what the objective says) from a noisy image and its conditions."""

    def __init__(self, core: nn.Module, options: PatchOptions, inputs: Inputs) -> None:
        """Wrap `core(z, mask, time, tokens)`, which sees patches."""
        super().__init__()
        self.core = core
        self.tokens = AttributeTokens(inputs["attributes"], options.token_width)
        self.patch = options.patch
        self.multiple = options.patch * options.downsampling
        self.classes = inputs["classes"]

    def forward(
        self,
        z: Float[Tensor, "n c *size"],
        time: Float[Tensor, " n"],
        mask: Float[Tensor, "n k *size"],
        attributes: Float[Tensor, "n a"],
    ) -> Float[Tensor, "n c *size"]:
        """Map a noisy image z (N, C, *S), with the time (N,) in 0 to 1000, to a prediction (N, C, *S).

        mask (N, classes, *S): -1 or +1 per foreground label, 0 where a label is not known. attributes (N, A):
        codes, NaN where unknown. ConfigError if S is no multiple of `multiple`, or the mask does not fit.
        """
        self._check(z, mask)
        tokens = self.tokens(attributes)
        out = self.core(patchify(z, self.patch), patchify(mask, self.patch), time, tokens)
        return unpatchify(out, self.patch).to(z.dtype)  # bf16 under autocast; samplers add up in the image's

    def _check(self, z: Tensor, mask: Tensor) -> None:
        size = tuple(z.shape[2:])
        if any(length % self.multiple for length in size):
            fitting = tuple(-(-length // self.multiple) * self.multiple for length in size)
            raise ConfigError(
                f"image size: found {size} voxels, expected multiples of {self.multiple} on every axis "
                f"({self.patch} voxels a patch). Pad or crop, for example to {fitting}."
            )
        expected = (len(z), self.classes, *size)
        if tuple(mask.shape) != expected:
            raise ConfigError(
                f"mask: found shape {tuple(mask.shape)}, expected {expected}: one channel per "
                "foreground label, on the image's grid."
            )
