"""Where a training stands in its budget, and the learning rate there."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Progress through a budget of seconds or of steps; seconds of earlier sessions count."""

    seconds: float | None
    steps: int | None
    spent_before: float = 0.0
    _start: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Seconds trained so far, all sessions together."""
        return self.spent_before + time.monotonic() - self._start

    def progress(self, step: int) -> float:
        """Return the share of the budget that is used up before `step`, 0 to 1."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        return min(1.0, self.spent / (self.seconds or 1.0))

    def share_of(self, seconds: float) -> float:
        """Return which share of a budget of time so many seconds are; 0 with a budget of steps."""
        return seconds / self.seconds if self.seconds else 0.0


def learning_rate(base: float, progress: float, warmup: float) -> float:
    """Return the rate at a share of the budget: a linear rise, then half a cosine down to 1 % of `base`.

    >>> round(learning_rate(1.0, 0.0, 0.1), 3), learning_rate(1.0, 0.1, 0.1), learning_rate(1.0, 1.0, 0.1)
    (0.1, 1.0, 0.01)
    """
    if progress < warmup:
        return base * (0.1 + 0.9 * progress / warmup)
    share = (progress - warmup) / (1 - warmup)
    return base * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
