"""The default in 3D: MONAI's U-Net with cross attention on attribute tokens; the mask is concatenated."""

from __future__ import annotations

from typing import Unpack

from torch import nn

from medunet.models.denoiser import Concatenated, Denoiser, Inputs
from medunet.models.unets import UNet3d, UNetOptions

DIMS = (3,)


class Options(UNetOptions):
    """See `UNetOptions`; the defaults are the preset `tiny3d`."""


def build(options: Options, **inputs: Unpack[Inputs]) -> nn.Module:
    """Return the network with fresh weights."""
    image, mask = options.widths(inputs)
    return Denoiser(Concatenated(UNet3d(options, image + mask, image)), options, inputs)
