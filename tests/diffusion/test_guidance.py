"""Guidance: a line through two answers, and no second call where it is not needed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from medunet.diffusion import guided, objective, sample

Z, TIME = torch.zeros(2, 1, 3, 3), torch.zeros(2)


def conditional(z: Tensor, time: Tensor) -> Tensor:
    return torch.full_like(z, 3.0)


def unconditional(z: Tensor, time: Tensor) -> Tensor:
    return torch.full_like(z, 1.0)


@pytest.mark.parametrize(("scale", "expected"), [(0.0, 1.0), (0.5, 2.0), (1.0, 3.0), (2.0, 5.0)])
def test_the_answer_moves_along_the_condition(scale: float, expected: float) -> None:
    assert guided(conditional, unconditional, scale)(Z, TIME).unique().tolist() == [expected]


def test_scale_1_asks_the_conditional_network_only() -> None:
    assert guided(conditional, unconditional, 1.0) is conditional


def test_a_sampler_takes_it_for_a_network() -> None:
    out = sample(
        "euler", guided(conditional, unconditional, 2.0), Z, objective("flow", {"answer": "velocity"}), 4
    )
    assert torch.allclose(out, Z - 5.0)  # one unit of time against a velocity of 5
