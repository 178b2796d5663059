"""Attributes become tokens: categories, numbers, and a learned word for what is not known."""

from __future__ import annotations

import torch

from medunet.config.attributes import Attribute
from medunet.models.tokens import AttributeTokens

SCANNER = Attribute(name="scanner", values=("a", "b", "c"))
FIELD = Attribute(name="field_tesla", mean=1.5, std=0.5, low=1, high=3)


def tokens_of(*rows: tuple[str | None, float | None]) -> torch.Tensor:
    torch.manual_seed(0)
    module = AttributeTokens([SCANNER, FIELD], 16)
    return module(torch.tensor([[SCANNER.code(scanner), FIELD.code(field)] for scanner, field in rows]))


def test_each_value_has_its_token_and_none_depends_on_the_other() -> None:
    tokens = tokens_of(("a", 1.5), ("b", 1.5), ("b", 3.0), ("a", 1.5))
    assert tokens.shape == (4, 2, 16)
    assert torch.equal(tokens[0], tokens[3])
    assert not torch.allclose(tokens[0, 0], tokens[1, 0])
    assert torch.equal(tokens[0, 1], tokens[1, 1])
    assert torch.equal(tokens[1, 0], tokens[2, 0])
    assert not torch.allclose(tokens[1, 1], tokens[2, 1])


def test_near_numbers_have_near_tokens() -> None:
    tokens = tokens_of(("a", 1.5), ("a", 1.51), ("a", 2.5))[:, 1]
    assert (tokens[0] - tokens[1]).norm() < 0.1 * (tokens[0] - tokens[2]).norm()


def test_unknown_is_a_token_of_its_own_for_each_attribute() -> None:
    tokens = tokens_of((None, 1.5), ("x", None), ("a", 1.5))
    assert torch.equal(tokens[0, 0], tokens[1, 0])  # a scanner never seen is as unknown as none
    assert not torch.allclose(tokens[0, 0], tokens[1, 1])
    assert not torch.allclose(tokens[0, 0], tokens[2, 0])
    torch.testing.assert_close(tokens[0, 1], tokens[2, 1])


def test_unknown_values_leave_the_gradient_finite() -> None:
    module = AttributeTokens([SCANNER, FIELD], 16)
    module(torch.full((2, 2), float("nan"))).square().sum().backward()
    assert module.null.grad.abs().min() > 0
    assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in module.embed.parameters())


def test_without_attributes_there_is_one_learned_token() -> None:
    module = AttributeTokens([], 16)
    tokens = module(torch.empty(3, 0))
    assert tokens.shape == (3, 1, 16)
    assert torch.equal(tokens[0], tokens[2])
    assert tokens.requires_grad
