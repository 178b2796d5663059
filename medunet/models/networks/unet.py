"""Plain convolution U-Net after nnU-Net (Isensee 2021): instance norm, LeakyReLU, strided convolutions; 2D and 3D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from pydantic import Field
from torch import Tensor, nn

from medunet.config.base import Record
from medunet.errors import ConfigError
from medunet.models.blocks import (
    Conv,
    ConvNorm,
    Head,
    NormName,
    Shape,
    Up,
    fast_layout,
    round_up,
    supervised_levels,
    total_stride,
)


class Options(Record):
    """What a recipe may change; the plan decides the rest."""

    features: tuple[int, ...] | None = None  # per stage; default: the plan's
    blocks: int = Field(2, ge=1, le=8)  # convolutions per stage
    norm: NormName = "instance"


class UNet(nn.Module):
    """Encoder of strided stages, decoder of transposed convolutions, one head per supervised level."""

    def __init__(self, options: Options, shape: Shape, features: Sequence[int]) -> None:
        super().__init__()
        strides, kernels = shape["strides"], shape["kernels"]
        self.margin = (0,) * shape["dims"]
        self.multiple = total_stride(strides)
        self.deep_supervision = shape["deep_supervision"]
        sources = (shape["inputs"], *features[:-1])
        self.encoder = nn.ModuleList(
            _stage(options, source, target, kernel, stride)
            for source, target, kernel, stride in zip(sources, features, kernels, strides, strict=True)
        )
        levels = range(len(features) - 1)
        self.up = nn.ModuleList(Up(features[k + 1], features[k], strides[k + 1]) for k in levels)
        ones = (1,) * shape["dims"]
        self.decoder = nn.ModuleList(
            _stage(options, 2 * features[k], features[k], kernels[k], ones) for k in levels
        )
        heads = supervised_levels(len(features), self.deep_supervision)
        self.heads = nn.ModuleList(
            Head(features[k], shape["outputs"], shape["dims"]) for k in range(heads)
        )

    def snap(self, patch: Sequence[int]) -> tuple[int, ...]:
        """Return the smallest patch the network accepts that is at least as large, in voxels."""
        return round_up(patch, self.multiple)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map (N, C, *S) to logits (N, K, *S); in training with deep supervision to a tuple, finest first."""
        features, skips = fast_layout(image), []
        for stage in self.encoder:
            features = stage(features)
            skips.append(features)
        deep = self.training and self.deep_supervision
        logits = []
        for level in reversed(range(len(self.decoder))):
            stage = self.decoder[level]
            features = stage[1:](stage[0](self.up[level](features), skips[level]))
            if level < len(self.heads) and (deep or level == 0):
                logits.append(self.heads[level](features))
        return tuple(reversed(logits)) if deep else logits[-1]


def _stage(
    options: Options, inputs: int, outputs: int, kernel: Sequence[int], stride: Sequence[int]
) -> nn.Sequential:
    ones = (1,) * len(kernel)
    convolutions = [Conv(inputs, outputs, kernel, stride)]
    convolutions += [Conv(outputs, outputs, kernel, ones) for _ in range(options.blocks - 1)]
    return nn.Sequential(*(ConvNorm(conv, options.norm) for conv in convolutions))


def build(options: Options, **shape: Unpack[Shape]) -> nn.Module:
    """Return the network with fresh weights."""
    features = options.features or tuple(shape["features"])
    if len(features) != len(shape["strides"]):
        raise ConfigError(
            f"network.options.features: found {len(features)} numbers, expected {len(shape['strides'])}, "
            "one per stage of the plan."
        )
    return UNet(options, shape, features)
