"""A diffusion transformer on patches (DiT, Peebles 2023), 2D and 3D; it needs 10,000 images or more.

The mask joins the image in each patch; attribute tokens join the sequence; the time steers every block
(adaLN-Zero), so that a fresh network does nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Unpack

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from medunet.models.denoiser import Concatenated, Denoiser, Inputs, PatchOptions

DIMS = (2, 3)


class Options(PatchOptions):
    """Size; the defaults are for some ten thousand images of 128 x 128."""

    patch: int = Field(4, ge=1)
    width: int = Field(384, ge=12, multiple_of=12)  # of a token: sine and cosine on two or three axes
    depth: int = Field(12, ge=1)
    head_width: int = Field(64, ge=1)


class Transformer(nn.Module):
    """Patches and attribute tokens in one sequence."""

    def __init__(self, options: Options, inputs: int, outputs: int) -> None:
        """Lay out a fresh network."""
        super().__init__()
        width = options.width
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.attributes = nn.Linear(options.token_width, width)
        self.patches = nn.Linear(inputs, width)
        heads = max(1, width // options.head_width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(options.depth))
        self.last = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, outputs)
        for layer in (self.last, self.out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.width = width

    def forward(self, z: Tensor, time: Tensor, tokens: Tensor) -> Tensor:
        """Map (N, inputs, *S), times (N,) and tokens (N, T, token_width) to (N, outputs, *S)."""
        size = z.shape[2:]
        steer = self.time(sinusoids(time, self.width))
        patches = self.patches(z.flatten(2).transpose(1, 2)) + positions(size, self.width, z.device)
        sequence = torch.cat([self.attributes(tokens), patches], 1)
        for block in self.blocks:
            sequence = block(sequence, steer)
        scale, shift = self.last(steer)[:, None].chunk(2, -1)
        patches = _steered(sequence[:, tokens.shape[1] :], scale, shift)
        return self.out(patches).transpose(1, 2).unflatten(2, size)


class Block(nn.Module):
    """Self-attention and a perceptron, each scaled, shifted and gated by the time."""

    def __init__(self, width: int, heads: int) -> None:
        """Start as the identity."""
        super().__init__()
        self.steer = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.steer.weight)
        nn.init.zeros_(self.steer.bias)
        self.qkv = nn.Linear(width, 3 * width)
        self.joined = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
        self.heads = heads

    def forward(self, sequence: Tensor, steer: Tensor) -> Tensor:
        """Map a sequence (N, L, width), steered by (N, width), to the same shape."""
        scale, shift, gate, mlp_scale, mlp_shift, mlp_gate = self.steer(steer)[:, None].chunk(6, -1)
        sequence = sequence + gate * self._attend(_steered(sequence, scale, shift))
        return sequence + mlp_gate * self.mlp(_steered(sequence, mlp_scale, mlp_shift))

    def _attend(self, sequence: Tensor) -> Tensor:
        heads = self.qkv(sequence).unflatten(-1, (3, self.heads, -1))  # (N, L, 3, heads, width / heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.joined(seen.transpose(1, 2).flatten(2))
        return out


def sinusoids(values: Tensor, width: int) -> Tensor:
    """Return cosines and sines (..., width) of values (...), wavelengths 2 pi to 20,000 pi (Vaswani 2017)."""
    half = width // 2
    rates = torch.exp(-math.log(10_000) * torch.arange(half, device=values.device) / half)
    waves = values[..., None] * rates
    return torch.cat([waves.cos(), waves.sin()], -1)


def positions(size: Sequence[int], width: int, device: torch.device) -> Tensor:
    """Return where each patch is, (prod(size), width): the same share of the width for every axis."""
    axes = [torch.arange(length, dtype=torch.float32, device=device) for length in size]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, -2)
    return sinusoids(grid, width // len(size)).flatten(1)


def _steered(sequence: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    return functional.layer_norm(sequence, sequence.shape[-1:]) * (1 + scale) + shift


def build(options: Options, **inputs: Unpack[Inputs]) -> nn.Module:
    """Return the network with fresh weights."""
    image, mask = options.widths(inputs)
    return Denoiser(Concatenated(Transformer(options, image + mask, image)), options, inputs)
