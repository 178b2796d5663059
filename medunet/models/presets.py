"""Denoisers of known size and cost, from minutes on a CPU to many GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from medunet.config.attributes import Attribute
from medunet.config.base import Record
from medunet.errors import ConfigError
from medunet.models import denoisers
from medunet.models.autoencoder import Autoencoder
from medunet.models.autoencoder import Options as AutoencoderOptions


class Preset(Record):
    """What a recipe may name instead of a network and its options."""

    network: str
    options: dict[str, Any]
    size_voxels: tuple[int, ...]  # that it is meant for; any multiple works
    batch_size: int
    autoencoder: dict[str, Any] | None = None  # options; None: no latent space


def _unet(size: Sequence[int], batch_size: int, channels: Sequence[int], **options: Any) -> Preset:
    # The middle attends on the grid of the deepest level: there it is enough for a small network.
    options = {"channels": tuple(channels), "attention_levels": 0 if len(channels) < 4 else 2, **options}
    return Preset(
        network=f"unet{len(size)}d", options=options, size_voxels=tuple(size), batch_size=batch_size
    )


PRESETS: dict[str, Preset] = {
    "tiny2d": _unet((64,) * 2, 16, (40, 80, 160)),
    "base2d-128": _unet((128,) * 2, 64, (96, 192, 288, 384), blocks=2),
    "base2d-256": _unet((256,) * 2, 64, (128, 256, 384, 512), blocks=2, patch=4),
    "tiny3d": _unet((32,) * 3, 4, (48, 96, 160)),
    "base3d-64": _unet((64,) * 3, 8, (64, 128, 256, 384), blocks=2),
    "base3d-128": _unet((128,) * 3, 4, (128, 192, 256, 384), blocks=2, patch=4),
    "latent3d": _unet((256,) * 3, 2, (64, 128, 256, 512), blocks=2, patch=1).model_copy(
        update={"autoencoder": {"latent_channels": 4}}
    ),
}


class Cost(NamedTuple):
    """What a denoiser takes."""

    parameters: int
    forward_gflop: float  # of one image; a multiplication and an addition are two

    def steps(self, seconds: float | int, batch_size: int, tflop_per_second: float | int) -> int:
        """Return how many training steps fit, a backward pass counted as two forward passes."""
        return int(seconds * tflop_per_second * 1000 / (3 * batch_size * self.forward_gflop))


def named(name: str) -> Preset:
    """Return a preset; ConfigError with the known names."""
    if name not in PRESETS:
        raise ConfigError(f"preset: no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def describe(
    preset: Preset, *, channels: int = 1, classes: int = 1, attributes: Sequence[Attribute] = ()
) -> Cost:
    """Return what the preset's denoiser takes for one image of its size, counted without computing it."""
    from torch.utils.flop_counter import FlopCounterMode

    size, dims = preset.size_voxels, len(preset.size_voxels)
    if preset.autoencoder is not None:
        size = tuple(length // Autoencoder.factor for length in size)
        channels = AutoencoderOptions(**preset.autoencoder).latent_channels
    with torch.device("meta"):
        network = denoisers.build(
            preset.network,
            preset.options,
            dims=dims,
            channels=channels,
            classes=classes,
            attributes=attributes,
        ).requires_grad_(False)
        z, mask = torch.empty(1, channels, *size), torch.empty(1, classes, *size)
        with FlopCounterMode(display=False) as counter:
            network(z, torch.empty(1), mask, torch.empty(1, len(attributes)))
    parameters = sum(weight.numel() for weight in network.parameters())
    return Cost(parameters, counter.get_total_flops() / 1e9)
