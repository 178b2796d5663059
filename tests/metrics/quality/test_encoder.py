"""Pooled features: the mean over space of named layers; the network is left as it was found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from medunet.errors import ConfigError
from medunet.metrics.quality.encoder import deepest_layer, pooled_features


class Small(nn.Module):
    """An encoder of two levels with dropout, a squeeze to one voxel, and a decoder."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.down = nn.Conv2d(4, 6, 2, stride=2)
        self.bottom = nn.Sequential(nn.ReLU(), nn.Dropout(0.5))
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.up = nn.ConvTranspose2d(6, 2, 2, stride=2)

    def forward(self, x):
        low = self.bottom(self.down(self.first(x)))
        return self.up(low * torch.sigmoid(self.squeeze(low)))


def images(count, shape=(1, 12, 8)):
    return list(np.random.default_rng(0).normal(size=(count, *shape)))


def test_the_deepest_layer_is_pooled_over_space() -> None:
    network = Small().eval()
    assert deepest_layer(network, torch.zeros(1, 1, 12, 8)) in ("bottom", "bottom.1")
    given = images(5)
    found = pooled_features(network, given, batch_size=2)
    with torch.no_grad():
        expected = network.bottom(network.down(network.first(torch.tensor(np.stack(given)).float()))).mean(
            (2, 3)
        )
    assert found == pytest.approx(expected.numpy(), abs=1e-6)


def test_layers_stand_side_by_side_in_the_given_order() -> None:
    found = pooled_features(Small(), images(3), layers=("down", "first"))
    assert found.shape == (3, 10)
    assert found[:, 6:] == pytest.approx(pooled_features(Small(), images(3), layers=("first",)))


def test_images_of_several_shapes_keep_their_places() -> None:
    mixed = [images(1)[0], images(1, (1, 16, 16))[0], 2 * images(1)[0]]
    alone = [pooled_features(Small(), [image])[0] for image in mixed]
    assert pooled_features(Small(), mixed) == pytest.approx(np.stack(alone), abs=1e-6)


def test_the_network_is_left_as_it_was() -> None:
    network = Small()
    network.bottom.eval()
    first, again = (pooled_features(network, images(2)) for _ in range(2))
    assert np.array_equal(first, again)  # no dropout
    assert network.training
    assert network.down.training
    assert not network.bottom.training
    assert not any(module._forward_hooks for module in network.modules())


def test_an_error_in_the_network_leaves_no_hook() -> None:
    network = Small()
    with pytest.raises(RuntimeError):
        pooled_features(network, images(2, (3, 8, 8)))
    assert not any(module._forward_hooks for module in network.modules())
    assert network.training


def test_volumes_too() -> None:
    network = nn.Sequential(nn.Conv3d(1, 3, 3), nn.MaxPool3d(2))
    assert pooled_features(network, images(2, (1, 8, 8, 8))).shape == (2, 3)


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(ConfigError, match=r"bottleneck.*first, down"):
        pooled_features(Small(), images(1), layers=("bottleneck",))
    with pytest.raises(ConfigError, match="no layer"):
        pooled_features(nn.Sequential(nn.Flatten(), nn.Linear(96, 2)), images(1))
