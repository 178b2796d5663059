"""Tiles of one value are computed once, and nothing changes by it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from medunet.inference import forward
from medunet.inference.forward import Forward, Window, flat_value
from medunet.inference.window import predict_labels


class Counts(nn.Module):
    """A convolution (so that borders differ) that counts the tiles it sees."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.tiles = nn.Conv2d(1, 4, 3, padding=1), 0

    def forward(self, image: Tensor) -> Tensor:
        self.tiles += len(image)
        return self.layer(image)


def air_around() -> Tensor:
    """Air of -1 around a body of noise."""
    image = torch.full((1, 64, 48), -1.0)
    image[:, 24:40, 16:32] = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(1))
    return image


def labels(network: nn.Module, batch_size: int = 1) -> Tensor:
    return predict_labels(
        [network], air_around(), patch_voxels=(8, 8), out_shape=(64, 48), batch_size=batch_size,
        precision="fp32",
    )  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 4])
def test_air_is_computed_once(monkeypatch: pytest.MonkeyPatch, batch_size: int) -> None:
    sparing, plain = Counts(), Counts()
    found = labels(sparing, batch_size)
    monkeypatch.setattr(forward, "flat_value", lambda tile: None)
    expected = labels(plain, batch_size)
    assert torch.equal(found, expected)
    assert plain.tiles == 15 * 11
    assert sparing.tiles == 5 * 5 + 1


def test_large_logits_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "KEPT_BYTES", 100)
    network = Counts()
    labels(network)
    assert network.tiles == 15 * 11


def test_every_place_comes_with_its_own_logits() -> None:
    network = Counts()
    values = [torch.randn(1, 8, 8), torch.zeros(1, 8, 8), torch.randn(1, 8, 8), torch.zeros(1, 8, 8)]
    window = Window((8, 8), batch_size=3, precision="fp32")
    with torch.inference_mode():
        found = dict(Forward(network, window)(((number, 0), tile) for number, tile in enumerate(values)))
        for number, tile in enumerate(values):
            torch.testing.assert_close(found[(number, 0)], network(tile[None])[0])


def test_a_tile_is_flat_only_if_every_voxel_is_the_same() -> None:
    tile = torch.full((2, 4, 4), 3.0)
    tile[1] = 7.0
    assert flat_value(tile) == (3.0, 7.0)
    tile[1, 3, 2] = 7.001
    assert flat_value(tile) is None
