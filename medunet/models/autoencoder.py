"""A latent space for volumes above 128 voxels a side: MONAI's AutoencoderKL (Rombach 2022)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from medunet.config.base import Record, parse

KL_WEIGHT = 1e-3  # keeps latents near a normal distribution without blurring what they carry


class Options(Record):
    """Size of the autoencoder."""

    channels: tuple[int, int, int] = (32, 64, 128)  # per level; three levels make it coarser by four
    blocks: int = Field(1, ge=1)
    latent_channels: int = Field(4, ge=1)


class Autoencoder(nn.Module):
    """Images to latents of mean 0 and standard deviation 1 per channel, and back."""

    factor = 4

    def __init__(self, dims: int, channels: int, options: Options) -> None:
        """Lay out a fresh network; without attention, so that volumes may have any multiple of 4."""
        from monai.networks.nets.autoencoderkl import AutoencoderKL

        super().__init__()
        levels = len(options.channels)
        self.network = AutoencoderKL(
            spatial_dims=dims,
            in_channels=channels,
            out_channels=channels,
            num_res_blocks=options.blocks,
            channels=options.channels,
            attention_levels=(False,) * levels,
            latent_channels=options.latent_channels,
            norm_num_groups=math.gcd(32, *options.channels),
            with_encoder_nonlocal_attn=False,
            with_decoder_nonlocal_attn=False,
        )
        shape = (1, options.latent_channels) + (1,) * dims
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def encode(self, image: Tensor) -> Tensor:
        """Map images (N, C, *S) to latents (N, latent_channels, *S / 4), standardised by `set_scale`."""
        mean, _ = self.network.encode(image)
        return (mean - self.mean) / self.std

    def decode(self, latent: Tensor) -> Tensor:
        """Map standardised latents (N, latent_channels, *S / 4) to images (N, C, *S)."""
        image: Tensor = self.network.decode(latent * self.std + self.mean)
        return image

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the reconstruction (N, C, *S) of a drawn latent, and its KL divergence () per value."""
        reconstruction, mean, std = self.network(image)
        kl = 0.5 * (mean.square() + std.square() - 1) - std.log()
        return reconstruction, kl.mean()

    @torch.no_grad()
    def set_scale(self, latents: Tensor) -> None:
        """Standardise by latents (N, latent_channels, *L) that `encode` gave for training images."""
        raw = (latents * self.std + self.mean).transpose(0, 1).flatten(1)
        self.mean.copy_(raw.mean(1).view_as(self.mean))
        self.std.copy_(raw.std(1).clamp_min(1e-6).view_as(self.std))


def build_autoencoder(dims: int, channels: int, options: Mapping[str, Any]) -> Autoencoder:
    """Return an autoencoder with fresh weights for images (N, channels, *S), 2D or 3D."""
    return Autoencoder(dims, channels, parse(Options, options, where="autoencoder"))


def autoencoder_loss(reconstruction: Tensor, image: Tensor, kl: Tensor) -> Tensor:
    """Return the mean absolute error plus a little of the KL divergence."""
    return (reconstruction - image).abs().mean() + KL_WEIGHT * kl
