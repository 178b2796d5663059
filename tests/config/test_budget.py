"""Budgets as a person writes them."""

from __future__ import annotations

import pytest

from medunet.config.budget import parse_budget, parse_seconds
from medunet.errors import ConfigError


def test_a_time_is_read_in_every_unit() -> None:
    assert [parse_seconds(text) for text in ("30s", "1.5m", " 2 h", "1d")] == [30.0, 90.0, 7200.0, 86400.0]


def test_steps_are_no_time() -> None:
    assert parse_budget("500 steps") == (None, 500)
    with pytest.raises(ConfigError, match=r"expected a time \(30s, 10m\), got '500 steps'"):
        parse_seconds("500 steps")


@pytest.mark.parametrize("text", ["", "10", "0s", "-1m", "ten minutes"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected a time"):
        parse_seconds(text)
