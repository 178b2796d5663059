"""Hausdorff distance without the farthest 5 %: how far off the worst parts of the outline are."""

from __future__ import annotations

from math import nan

import numpy as np

from medunet.metrics.pair import Pair

TITLE = "HD95"
BETTER = "low"


def measure(pair: Pair) -> float:
    """Return the larger of the two directed 95th percentiles of the surface distances, in mm.

    Both empty: NaN (not counted); exactly one empty: the diagonal of the image (Metrics Reloaded).
    """
    if pair.both_empty:
        return nan
    if pair.one_empty:
        return pair.diagonal_mm
    return max(float(np.percentile(distances, 95)) for distances in pair.distances_mm)
