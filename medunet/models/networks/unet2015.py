"""The U-Net as published (Ronneberger 2015, arXiv 1505.04597), and in 3D after Cicek 2016 (arXiv 1606.06650).

Unpadded 3x3 convolutions with ReLU, 2x2 max pooling, 2x2 up-convolutions, skips cropped and concatenated,
dropout at the end of the contracting path, He initialisation, no normalisation. The answer is smaller than
the input by `margin` at each border; with mirrored borders that is the overlap-tile strategy. Depth and
features are its own, not the plan's; the 2015 border weights are the loss `border_ce`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medunet.config.base import Record
from medunet.models.blocks import Conv, Head, Shape, Up, fast_layout


class Options(Record):
    """Size of the network, as published by default."""

    width: int = Field(64, ge=1)  # features of the first stage; they double at every stage
    depth: int | None = Field(None, ge=1, le=6)  # poolings; default: 4 in 2D, 3 in 3D
    dropout: float = Field(0.5, ge=0, lt=1)  # in the two deepest stages, as in the authors' Caffe model


class UNet2015(nn.Module):
    """Contracting and expansive path of unpadded convolutions."""

    def __init__(self, options: Options, shape: Shape, depth: int) -> None:
        """Lay out fresh stages."""
        super().__init__()
        dims = shape["dims"]
        widths = [options.width * 2**level for level in range(depth + 1)]
        self.depth = depth
        self.margin = (6 * 2**depth - 4,) * dims  # two voxels lost by each pair of convolutions, at its scale
        self.deep_supervision = shape["deep_supervision"]
        self.down = nn.ModuleList(
            _pair(source, target, dims)
            for source, target in zip([shape["inputs"], *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(Up(2 * width, width, (2,) * dims, bias=True) for width in widths[:-1])
        self.expand = nn.ModuleList(_pair(2 * width, width, dims) for width in widths[:-1])
        self.dropout = nn.Dropout(options.dropout)
        self.head = Head(widths[0], shape["outputs"], dims)

    def snap(self, patch: Sequence[int]) -> tuple[int, ...]:
        """Return the smallest output patch that is at least as large: 388 (from 572 voxels) is one in 2D."""
        step, lost = 2**self.depth, 4 * (2**self.depth - 1)
        return tuple(-(-(max(1, size) + lost) // step) * step - lost for size in patch)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map (N, C, *(S + 2 * margin)) to logits (N, K, *S); in training with deep supervision a tuple."""
        features, skips = fast_layout(image), []
        pool = functional.max_pool2d if image.ndim == 4 else functional.max_pool3d
        for level, stage in enumerate(self.down):
            features = _convolve(stage, pool(features, 2) if level else features)
            features = self.dropout(features) if level >= self.depth - 1 else features
            skips.append(features)
        for level in reversed(range(self.depth)):
            features = functional.relu(self.up[level](features))
            features = _convolve(self.expand[level], _crop(skips[level], features), features)
        logits: Tensor = self.head(features)
        return (logits,) if self.training and self.deep_supervision else logits


def _pair(inputs: int, outputs: int, dims: int) -> nn.ModuleList:
    kernel, ones = (3,) * dims, (1,) * dims
    sizes = ((inputs, outputs), (outputs, outputs))
    return nn.ModuleList(Conv(*size, kernel, ones, padded=False, bias=True) for size in sizes)


def _convolve(pair: nn.Module, *parts: Tensor) -> Tensor:
    """Apply two convolutions, each followed by ReLU, to parts that count as concatenated."""
    first, second = pair.children()
    return functional.relu(second(functional.relu(first(*parts))))


def _crop(features: Tensor, like: Tensor) -> Tensor:
    """Return the central box (N, C, *S) of features with the S of another tensor."""
    for axis, size in enumerate(like.shape[2:], 2):
        features = features.narrow(axis, (features.shape[axis] - size) // 2, size)
    return features


def build(options: Options, **shape: Unpack[Shape]) -> nn.Module:
    """Return the network with fresh weights."""
    return UNet2015(options, shape, options.depth or (4 if shape["dims"] == 2 else 3))
