"""The U-Nets of diffusers (2D) and MONAI (3D), and their ControlNet branches, behind one call each.

Both libraries take seconds to import and are imported where a network is built.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydantic import Field, model_validator
from torch import Tensor, nn

from medunet.models.denoiser import PatchOptions

Residuals = tuple[Sequence[Tensor], Tensor]


class UNetOptions(PatchOptions):
    """What a recipe may change. Attention costs little at the deepest level and much above it."""

    channels: tuple[int, ...] = (48, 96, 160)  # per level; each level halves the grid
    blocks: int = Field(1, ge=1)  # residual blocks per level
    attention_levels: int = Field(1, ge=0)  # so many of the deepest levels attend; the middle always does
    head_channels: int = Field(32, ge=1)

    @model_validator(mode="after")
    def _levels(self) -> UNetOptions:
        if len(self.channels) < 2:
            raise ValueError("channels: expected two levels or more")
        if self.attention_levels > len(self.channels):
            raise ValueError(f"attention_levels: at most {len(self.channels)}, as many as channels")
        if any(width % self.head_channels for width in self.channels[-max(1, self.attention_levels) :]):
            raise ValueError("channels: of the levels that attend, expected multiples of head_channels")
        return self

    @property
    def downsampling(self) -> int:
        """Return how much coarser the deepest level is than the first."""
        return int(2 ** (len(self.channels) - 1))

    @property
    def attends(self) -> tuple[bool, ...]:
        """Return for every level whether it attends."""
        levels = len(self.channels)
        return tuple(level >= levels - self.attention_levels for level in range(levels))

    @property
    def norm_groups(self) -> int:
        """Return the largest number of groups up to 32 that divides the channels of all levels."""
        return math.gcd(32, *self.channels)


class UNet2d(nn.Module):
    """diffusers' `UNet2DConditionModel`."""

    def __init__(self, options: UNetOptions, inputs: int, outputs: int) -> None:
        """Lay out a fresh network."""
        from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

        super().__init__()
        ups = tuple("CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(options.attends))
        self.network = UNet2DConditionModel(
            in_channels=inputs, out_channels=outputs, up_block_types=ups, **_of_diffusers(options)
        )

    def forward(self, z: Tensor, time: Tensor, tokens: Tensor, residuals: Residuals | None = None) -> Tensor:
        """Map (N, inputs, X, Y), times (N,) and tokens (N, T, width) to (N, outputs, X, Y)."""
        down, middle = residuals or (None, None)
        (out,) = self.network(
            z,
            time,
            encoder_hidden_states=tokens,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )
        return out


class UNet3d(nn.Module):
    """MONAI's `DiffusionModelUNet` in three dimensions."""

    def __init__(self, options: UNetOptions, inputs: int, outputs: int) -> None:
        """Lay out a fresh network."""
        from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet

        super().__init__()
        self.network = DiffusionModelUNet(in_channels=inputs, out_channels=outputs, **_of_monai(options))

    def forward(self, z: Tensor, time: Tensor, tokens: Tensor, residuals: Residuals | None = None) -> Tensor:
        """Map (N, inputs, X, Y, Z), times (N,) and tokens (N, T, width) to (N, outputs, X, Y, Z)."""
        out: Tensor = self.network(z, time, tokens, None, *(residuals or (None, None)))
        return out


class Branch2d(nn.Module):
    """diffusers' `ControlNetModel`; the mask comes in patches already and is not made coarser."""

    def __init__(self, options: UNetOptions, inputs: int, conditions: int) -> None:
        """Lay out a fresh branch for conditions (N, conditions, X, Y)."""
        from diffusers.models.controlnets.controlnet import ControlNetModel

        super().__init__()
        self.network = ControlNetModel(
            in_channels=inputs,
            conditioning_channels=conditions,
            conditioning_embedding_out_channels=options.channels[:1],
            **_of_diffusers(options),
        )

    def forward(self, z: Tensor, mask: Tensor, time: Tensor, tokens: Tensor) -> Residuals:
        """Return what `UNet2d` adds to its skips and its middle."""
        down, middle = self.network(z, time, tokens, controlnet_cond=mask, return_dict=False)
        return down, middle


class Branch3d(nn.Module):
    """MONAI's `ControlNet` in three dimensions."""

    def __init__(self, options: UNetOptions, inputs: int, conditions: int) -> None:
        """Lay out a fresh branch for conditions (N, conditions, X, Y, Z)."""
        from monai.networks.nets.controlnet import ControlNet

        super().__init__()
        self.network = ControlNet(
            in_channels=inputs,
            conditioning_embedding_in_channels=conditions,
            conditioning_embedding_num_channels=options.channels[:1],
            **_of_monai(options),
        )

    def forward(self, z: Tensor, mask: Tensor, time: Tensor, tokens: Tensor) -> Residuals:
        """Return what `UNet3d` adds to its skips and its middle."""
        down, middle = self.network(z, time, mask, context=tokens)
        return down, middle


def _of_diffusers(options: UNetOptions) -> dict[str, Any]:
    downs = tuple("CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in options.attends)
    return {
        "down_block_types": downs,
        "block_out_channels": options.channels,
        "layers_per_block": options.blocks,
        "norm_num_groups": options.norm_groups,
        "cross_attention_dim": options.token_width,
        # The number of heads, in spite of the name (diffusers#2011)
        "attention_head_dim": tuple(max(1, width // options.head_channels) for width in options.channels),
    }


def _of_monai(options: UNetOptions) -> dict[str, Any]:
    return {
        "spatial_dims": 3,
        "channels": options.channels,
        "num_res_blocks": options.blocks,
        "attention_levels": options.attends,
        "num_head_channels": options.head_channels,
        "norm_num_groups": options.norm_groups,
        "with_conditioning": True,
        "cross_attention_dim": options.token_width,
        "use_flash_attention": True,
    }
