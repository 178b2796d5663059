"""Plain convolution U-Net after nnU-Net (Isensee 2021): instance norm, LeakyReLU, strided; 2D and 3D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from pydantic import Field
from torch import Tensor, nn

from medunet.config.base import Record
from medunet.models.blocks import NormName, Shape, fast_layout, round_up, total_stride
from medunet.models.decoder import Decoder, features_per_stage, stage


class Options(Record):
    """What a recipe may change; the plan decides the rest."""

    features: tuple[int, ...] | None = None  # per stage; default: the plan's
    blocks: int = Field(2, ge=1, le=8)  # convolutions per stage
    norm: NormName = "instance"


class UNet(nn.Module):
    """Encoder of strided convolutions, decoder of transposed ones, joined by skips."""

    def __init__(self, options: Options, shape: Shape, features: Sequence[int]) -> None:
        """Lay out fresh stages of `features` channels."""
        super().__init__()
        self.margin = (0,) * shape["dims"]
        self.multiple = total_stride(shape["strides"])
        self.deep_supervision = shape["deep_supervision"]
        sources = (shape["inputs"], *features[:-1])
        stages = zip(sources, features, shape["kernels"], shape["strides"], strict=True)
        self.encoder = nn.ModuleList(
            stage(source, target, kernel, stride=stride, count=options.blocks, norm=options.norm)
            for source, target, kernel, stride in stages
        )
        self.decoder = Decoder(shape, features, convolutions=options.blocks, norm=options.norm)

    def snap(self, patch: Sequence[int]) -> tuple[int, ...]:
        """Return the smallest patch the network accepts that is at least as large, in voxels."""
        return round_up(patch, self.multiple)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map (N, C, *S) to logits (N, K, *S); in training with deep supervision to a tuple, finest first."""
        features, skips = fast_layout(image), []
        for down in self.encoder:
            features = down(features)
            skips.append(features)
        logits: Tensor | tuple[Tensor, ...] = self.decoder(skips, self.training and self.deep_supervision)
        return logits


def build(options: Options, **shape: Unpack[Shape]) -> nn.Module:
    """Return the network with fresh weights."""
    return UNet(options, shape, features_per_stage(options.features, shape))
