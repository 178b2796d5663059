"""U-Net with a residual encoder, after the ResEnc presets of nnU-Net (Isensee 2024, arXiv 2404.09556)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medunet.config.base import Record
from medunet.errors import ConfigError
from medunet.models.blocks import SLOPE, Conv, ConvNorm, NormName, Shape, fast_layout, round_up, total_stride
from medunet.models.decoder import Decoder, features_per_stage, stage

PRESET = (1, 3, 4, 6)  # residual blocks of the first stages; every further one has as many as the last


class Options(Record):
    """What a recipe may change; the plan decides the rest."""

    features: tuple[int, ...] | None = None  # per stage; default: the plan's
    blocks: tuple[int, ...] | None = None  # residual blocks per stage; default: 1, 3, 4, 6, 6, 6 ...
    decoder: int = Field(1, ge=1, le=8)  # convolutions per decoder stage
    norm: NormName = "instance"


class Residual(nn.Module):
    """Two convolutions beside a short cut, which is pooled by averages and projected where shapes differ."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Sequence[int], stride: Sequence[int], norm: NormName
    ) -> None:
        """Draw fresh weights; the stride is that of the first convolution."""
        super().__init__()
        ones = (1,) * len(kernel)
        self.stride = tuple(stride)
        self.first = ConvNorm(Conv(inputs, outputs, kernel, stride), norm)
        self.second = ConvNorm(Conv(outputs, outputs, kernel, ones), norm, activate=False)
        self.project = (
            nn.Identity()
            if inputs == outputs
            else ConvNorm(Conv(inputs, outputs, ones, ones), norm, activate=False)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, inputs, *S) to (N, outputs, *S / stride)."""
        short = features
        if set(self.stride) != {1}:
            pool = functional.avg_pool2d if features.ndim == 4 else functional.avg_pool3d
            short = pool(features, self.stride, self.stride)
        total = self.second(self.first(features)) + self.project(short)
        return functional.leaky_relu(total, SLOPE, inplace=True)


class ResEncUNet(nn.Module):
    """One convolution, stages of residual blocks, and a light decoder."""

    def __init__(
        self, options: Options, shape: Shape, features: Sequence[int], blocks: Sequence[int]
    ) -> None:
        """Lay out fresh stages of `features` channels and `blocks` residual blocks."""
        super().__init__()
        self.margin = (0,) * shape["dims"]
        self.multiple = total_stride(shape["strides"])
        self.deep_supervision = shape["deep_supervision"]
        self.stem = stage(shape["inputs"], features[0], shape["kernels"][0], count=1, norm=options.norm)
        sources = (features[0], *features[:-1])
        stages = zip(sources, features, shape["kernels"], shape["strides"], blocks, strict=True)
        self.encoder = nn.ModuleList(
            _residuals((source, target), kernel, stride, count, options.norm)
            for source, target, kernel, stride, count in stages
        )
        self.decoder = Decoder(shape, features, convolutions=options.decoder, norm=options.norm)

    def snap(self, patch: Sequence[int]) -> tuple[int, ...]:
        """Return the smallest patch the network accepts that is at least as large, in voxels."""
        return round_up(patch, self.multiple)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map (N, C, *S) to logits (N, K, *S); in training with deep supervision to a tuple, finest first."""
        features, skips = self.stem(fast_layout(image)), []
        for down in self.encoder:
            features = down(features)
            skips.append(features)
        logits: Tensor | tuple[Tensor, ...] = self.decoder(skips, self.training and self.deep_supervision)
        return logits


def _residuals(
    sizes: tuple[int, int], kernel: Sequence[int], stride: Sequence[int], count: int, norm: NormName
) -> nn.Sequential:
    (inputs, outputs), ones = sizes, (1,) * len(kernel)
    rest = [Residual(outputs, outputs, kernel, ones, norm) for _ in range(count - 1)]
    return nn.Sequential(Residual(inputs, outputs, kernel, stride, norm), *rest)


def build(options: Options, **shape: Unpack[Shape]) -> nn.Module:
    """Return the network with fresh weights."""
    stages = len(shape["strides"])
    blocks = options.blocks or (*PRESET, *(PRESET[-1],) * stages)[:stages]
    if len(blocks) != stages or min(blocks) < 1:
        raise ConfigError(
            f"network.options.blocks: found {blocks}, expected {stages} numbers from 1 on, "
            "one per stage of the plan."
        )
    return ResEncUNet(options, shape, features_per_stage(options.features, shape), blocks)
