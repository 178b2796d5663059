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


@pytest.mark.parametrize("wide", [{"duplicate": 1.0}, {"memory_percentile": 1e-6}])
def test_no_limit_is_so_wide_that_a_privacy_check_checks_nothing(wide: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wide))):
        parse(GateSettings, wide, where="test")
