"""The gate's settings: what protects patients stays."""

from __future__ import annotations

import pytest

from medunet.config.base import parse
from medunet.config.gate import PRIVACY, GateSettings
from medunet.errors import ConfigError


def test_privacy_cannot_be_switched_off() -> None:
    assert parse(GateSettings, {"checks": []}, where="test").checks == PRIVACY
    assert set(GateSettings().checks) > set(PRIVACY)


def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(ConfigError, match="checks"):
        parse(GateSettings, {"checks": ["beauty"]}, where="test")
