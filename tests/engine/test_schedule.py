from __future__ import annotations

import time

import pytest

from medunet.engine.schedule import Clock, learning_rate


def test_the_rate_rises_then_falls():
    rates = [learning_rate(1.0, p / 100, 0.1) for p in range(101)]
    assert max(rates) == rates[10] == 1.0
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)
    assert learning_rate(3.0, 0.55, 0.1) == pytest.approx(3 * (0.01 + 0.99 * 0.5))


def test_steps_and_seconds_both_make_progress():
    assert Clock(None, 40).progress(10) == 0.25
    clock = Clock(10.0, None, spent_before=5.0)
    time.sleep(0.01)
    assert 0.5 < clock.progress(0) < 0.6
    assert Clock(1.0, None, spent_before=5.0).progress(0) == 1.0
