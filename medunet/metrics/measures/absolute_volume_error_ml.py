"""Size of the volume error, so that too large and too small do not cancel in a mean."""

from __future__ import annotations

from medunet.metrics.measures import volume_error_ml
from medunet.metrics.pair import Pair

TITLE = "Size of volume error"
BETTER = "low"


def measure(pair: Pair) -> float:
    """Return |predicted - true volume| in ml (2D: area in 1000 mm^2); both empty: NaN (not counted)."""
    return abs(volume_error_ml.measure(pair))
