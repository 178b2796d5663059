"""MONAI's DynUNet, plain or residual, 2D and 3D; it is supervised at full resolution only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from monai.networks.nets import DynUNet as MonaiDynUNet
from torch import Tensor, nn

from medunet.config.base import Record
from medunet.errors import ConfigError
from medunet.models.blocks import Shape, fast_layout, round_up, total_stride
from medunet.models.decoder import features_per_stage

FEWEST_STAGES = 3  # of MONAI's DynUNet


class Options(Record):
    """What a recipe may change; the plan decides the rest."""

    features: tuple[int, ...] | None = None  # per stage; default: the plan's
    residual: bool = False  # MONAI's `res_block`


class DynUNet(nn.Module):
    """MONAI's network behind the contract of this folder."""

    def __init__(self, options: Options, shape: Shape) -> None:
        """Lay out a fresh network."""
        super().__init__()
        strides, kernels = shape["strides"], shape["kernels"]
        if len(strides) < FEWEST_STAGES:
            raise ConfigError(
                f"network.name: dynunet needs {FEWEST_STAGES} stages or more, the plan has {len(strides)}. "
                "Use unet, or larger patches."
            )
        self.margin = (0,) * shape["dims"]
        self.multiple = total_stride(strides)
        self.deep_supervision = shape["deep_supervision"]
        self.network = MonaiDynUNet(
            shape["dims"],
            shape["inputs"],
            shape["outputs"],
            kernel_size=kernels,
            strides=strides,
            upsample_kernel_size=strides[1:],
            filters=features_per_stage(options.features, shape),
            res_block=options.residual,
        )
        # It holds every layer twice, once to walk through; safetensors rightly refuses tensors of two names.
        self.network.__dict__["skip_layers"] = self.network._modules.pop("skip_layers")

    def snap(self, patch: Sequence[int]) -> tuple[int, ...]:
        """Return the smallest patch the network accepts that is at least as large, in voxels."""
        return round_up(patch, self.multiple)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map (N, C, *S) to logits (N, K, *S); in training with deep supervision to a tuple of one."""
        logits: Tensor = self.network(fast_layout(image))
        return (logits,) if self.training and self.deep_supervision else logits


def build(options: Options, **shape: Unpack[Shape]) -> nn.Module:
    """Return the network with fresh weights."""
    return DynUNet(options, shape)
