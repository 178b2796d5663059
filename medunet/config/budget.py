"""A training budget in wall-clock time or in optimiser steps, as a person writes it: `10m`, `500 steps`."""

from __future__ import annotations

import re

from medunet.errors import ConfigError

UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_budget(text: str) -> tuple[float | None, int | None]:
    """Return (seconds, None) or (None, steps).

    >>> parse_budget("10m"), parse_budget("300 steps")
    ((600.0, None), (None, 300))
    """
    if match := re.fullmatch(r"\s*(\d+)\s*steps?\s*", text):
        steps = int(match[1])
        if steps > 0:
            return None, steps
    if (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", text)) and float(match[1]) > 0:
        return float(match[1]) * UNIT_SECONDS[match[2]], None
    raise ConfigError(
        f"budget: expected a time (30s, 10m, 2h, 1d) or a number of steps (500 steps), got {text!r}."
    )


def part_of(text: str, share: float) -> str:
    """Return a share of a budget as a budget; at least one step.

    >>> part_of("10m", 0.3), part_of("7 steps", 0.1)
    ('180s', '1 steps')
    """
    seconds, steps = parse_budget(text)
    if steps is not None:
        return f"{max(1, round(steps * share))} steps"
    return f"{round((seconds or 0.0) * share, 3):.12g}s"


def parse_seconds(text: str) -> float:
    """Return the seconds of a budget that must be a time.

    >>> parse_seconds("2m")
    120.0
    """
    seconds, _ = parse_budget(text)
    if seconds is None:
        raise ConfigError(f"budget: expected a time (30s, 10m), got {text!r}.")
    return seconds
