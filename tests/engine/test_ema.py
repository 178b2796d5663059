from __future__ import annotations

import torch
from torch import nn

from medunet.engine.ema import Ema


def test_the_average_follows_its_formula():
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    ema = Ema(net, 0.9)
    nn.init.ones_(net.weight)
    ema.update(net, step=10_000)
    assert torch.allclose(ema.weights["weight"], torch.tensor([[0.1]]))
    ema.update(net, step=10_000)
    assert torch.allclose(ema.weights["weight"], torch.tensor([[0.19]]))


def test_early_steps_count_more():
    net = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(net.weight)
    ema = Ema(net, 0.999)
    nn.init.ones_(net.weight)
    ema.update(net, step=0)
    assert float(ema.weights["weight"]) > 0.8


def test_the_network_itself_stays_as_it_is():
    net = nn.Linear(2, 2)
    ema = Ema(net, 0.5)
    before = net.weight.detach().clone()
    ema.weights["weight"].zero_()
    with ema.applied(net) as averaged:
        assert not averaged.weight.any()
        assert not averaged.training
    assert torch.equal(net.weight, before)
    assert net.training
