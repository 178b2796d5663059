"""Attributes of a scan as tokens for cross attention: what it is called, and a learned word for `unknown`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from medunet.config.attributes import Attribute

OCTAVES = (-2, -1, 0, 1, 2)  # of the Fourier features, over standardised numbers


class AttributeTokens(nn.Module):
    """Turns the codes of `Attribute.code` into one token each; without attributes there is one constant."""

    def __init__(self, attributes: Sequence[Attribute], width: int) -> None:
        """Lay out an embedding per category, a small network per number, and a null token for each."""
        super().__init__()
        self.embed = nn.ModuleList(
            nn.Embedding(len(each.values), width) if each.values else _Number(width) for each in attributes
        )
        self.null = nn.Parameter(torch.randn(max(1, len(attributes)), width))

    def forward(self, codes: Float[Tensor, "n a"]) -> Float[Tensor, "n t width"]:
        """Map codes (N, A) to tokens (N, max(A, 1), width); NaN gives the attribute's null token."""
        null = self.null.expand(len(codes), -1, -1)
        if not self.embed:
            return null
        unknown = codes.isnan()
        known = torch.where(unknown, 0.0, codes)  # before the embedding: NaN would survive in its gradient
        tokens = [
            each(column.long() if isinstance(each, nn.Embedding) else column)
            for each, column in zip(self.embed, known.unbind(1), strict=True)
        ]
        return torch.where(unknown[..., None], null, torch.stack(tokens, 1))


class _Number(nn.Module):
    """A standardised number by its Fourier features (Tancik 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(1 + 2 * len(OCTAVES), width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, number: Tensor) -> Tensor:
        """Map numbers (N,) to tokens (N, width)."""
        waves = number[:, None] * torch.tensor([2.0**octave for octave in OCTAVES], device=number.device)
        tokens: Tensor = self.mlp(torch.cat([number[:, None], waves.sin(), waves.cos()], 1))
        return tokens
