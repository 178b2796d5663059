"""Low-rank adaptation starts as the identity, trains only itself, and folds into plain weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from medunet.errors import ConfigError
from medunet.models.lora import add_lora, merge_lora


class Network(nn.Module):
    """One layer of each kind, and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.GroupNorm(2, 6)
        self.deep = nn.Conv3d(6, 4, (3, 3, 1), padding=(1, 1, 0))
        self.attention = nn.Linear(4, 3)

    def forward(self, image: Tensor) -> Tensor:
        features = self.deep(self.norm(self.flat(image))[..., None])[..., 0]
        return self.attention(features.movedim(1, -1))


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network()


IMAGE = torch.randn(2, 2, 8, 6, generator=torch.Generator().manual_seed(1))


def train(network: nn.Module, weights: list[nn.Parameter], steps: int = 3) -> None:
    optimiser = torch.optim.SGD(weights, 0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        (network(IMAGE) - 1).square().mean().backward()
        optimiser.step()


def test_it_starts_as_the_identity_and_learns(network: Network) -> None:
    before = network(IMAGE)
    added = add_lora(network, rank=2, alpha=2.0)
    assert torch.equal(network(IMAGE), before)
    train(network, added)
    loss = (network(IMAGE) - 1).square().mean()
    assert loss < 0.95 * (before - 1).square().mean()


def test_only_its_own_weights_are_trained(network: Network) -> None:
    plain = {key: value.clone() for key, value in network.state_dict().items()}
    added = add_lora(network, rank=2, alpha=2.0)
    assert {id(p) for p in network.parameters() if p.requires_grad} == {id(p) for p in added}
    assert sum(p.numel() for p in added) == 2 * (6 + 2 * 9) + 2 * (4 + 6 * 9) + 2 * (3 + 4)
    train(network, added)
    frozen = {
        key.replace("parametrizations.", "").replace(".original", ""): value
        for key, value in network.state_dict().items()
        if ".weight.0." not in key
    }
    assert frozen.keys() == plain.keys()
    assert all(torch.equal(frozen[key], plain[key]) for key in plain)


def test_folded_in_it_gives_the_same_in_plain_weights(network: Network) -> None:
    names = list(network.state_dict())
    train(network, add_lora(network, rank=2, alpha=8.0))
    adapted = network(IMAGE)
    merge_lora(network)
    assert sorted(network.state_dict()) == sorted(names)
    assert all(p.requires_grad for p in network.parameters())
    torch.testing.assert_close(network(IMAGE), adapted)
    fresh = Network()
    fresh.load_state_dict(network.state_dict())
    torch.testing.assert_close(fresh(IMAGE), adapted)


def test_alpha_scales_the_change(network: Network) -> None:
    """By alpha / rank; whole numbers, as a recipe may give them, are taken too."""
    add_lora(network, rank=2, alpha=6, targets=["attention"])
    update = network.attention.parametrizations.weight[0]
    with torch.no_grad():
        update.up.fill_(1)
    change = network.attention.weight - network.attention.parametrizations.weight.original
    torch.testing.assert_close(change, 3 * update.down.sum(0).expand(3, 4))


def test_adapted_weights_survive_a_round_trip(network: Network) -> None:
    train(network, add_lora(network, rank=2, alpha=2.0))
    other = Network()
    add_lora(other, rank=2, alpha=2.0)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(IMAGE), network(IMAGE))


def test_targets_are_chosen_by_name(network: Network) -> None:
    assert len(add_lora(network, rank=99, alpha=1.0, targets=["attention", "deep"])) == 4
    assert not nn.utils.parametrize.is_parametrized(network.flat)
    assert network.attention.parametrizations.weight[0].down.shape == (
        3,
        4,
    )  # no higher rank than the weight's


def test_what_cannot_be_is_refused(network: Network) -> None:
    with pytest.raises(ConfigError, match="no linear layer or convolution is named like to_q"):
        add_lora(network, rank=1, alpha=1.0, targets=["to_q"])
    with pytest.raises(ConfigError, match=r"lora\.rank: found 0"):
        add_lora(network, rank=0, alpha=1.0)
    assert all(p.requires_grad for p in network.parameters())


def test_a_layer_that_has_no_such_rank_is_not_adapted_more_strongly() -> None:
    layers = nn.ModuleList([nn.Linear(4, 64), nn.Linear(64, 64)])
    add_lora(layers, rank=16, alpha=16)
    found = [layer.parametrizations.weight[0] for layer in layers]
    assert [(one.down.shape[0], one.scale) for one in found] == [(4, 1.0), (16, 1.0)]
