"""The decoder that the padded U-Nets share: transposed convolutions, skips, a head per supervised level."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from medunet.errors import ConfigError
from medunet.models.blocks import Conv, ConvNorm, Head, NormName, Shape, Up


class Decoder(nn.Module):
    """Goes from the coarsest features back to the image's grid."""

    def __init__(self, shape: Shape, features: Sequence[int], *, convolutions: int, norm: NormName) -> None:
        """Lay out fresh levels, finest first, with so many convolutions each."""
        super().__init__()
        levels = range(len(features) - 1)
        strides, kernels = shape["strides"], shape["kernels"]
        self.up = nn.ModuleList(Up(features[k + 1], features[k], strides[k + 1]) for k in levels)
        self.join = nn.ModuleList(
            stage(2 * features[k], features[k], kernels[k], count=1, norm=norm) for k in levels
        )
        self.refine = nn.ModuleList(
            stage(features[k], features[k], kernels[k], count=convolutions - 1, norm=norm) for k in levels
        )
        heads = (
            max(1, len(features) - 2) if shape["deep_supervision"] else 1
        )  # not on the two coarsest levels
        self.heads = nn.ModuleList(Head(features[k], shape["outputs"], shape["dims"]) for k in range(heads))

    def forward(self, skips: Sequence[Tensor], deep: bool) -> Tensor | tuple[Tensor, ...]:
        """Return logits (N, K, *S) from features, finest first; with `deep` of all supervised levels."""
        features, logits = skips[-1], []
        for level in reversed(range(len(self.up))):
            joined = self.join[level][0](self.up[level](features), skips[level])  # type: ignore[index]
            features = self.refine[level](joined)
            if level < len(self.heads) and (deep or level == 0):
                logits.append(self.heads[level](features))
        return tuple(reversed(logits)) if deep else logits[-1]


def stage(
    inputs: int,
    outputs: int,
    kernel: Sequence[int],
    *,
    count: int,
    norm: NormName,
    stride: Sequence[int] | None = None,
) -> nn.Sequential:
    """Return `count` convolutions with normalisation and LeakyReLU; the first has the stride."""
    ones = (1,) * len(kernel)
    sizes = [(inputs, stride or ones)] + [(outputs, ones)] * (count - 1)
    return nn.Sequential(
        *(ConvNorm(Conv(source, outputs, kernel, step), norm) for source, step in sizes[:count])
    )


def features_per_stage(wanted: Sequence[int] | None, shape: Shape) -> tuple[int, ...]:
    """Return the features that an option asks for, or the plan's; ConfigError if they do not fit the plan."""
    features = tuple(wanted or shape["features"])
    if len(features) != len(shape["strides"]) or min(features) < 1:
        raise ConfigError(
            f"network.options.features: found {features}, expected {len(shape['strides'])} numbers from "
            "1 on, one per stage of the plan."
        )
    return features
