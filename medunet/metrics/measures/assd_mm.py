"""Average symmetric surface distance: how far off the outline is on average."""

from __future__ import annotations

from math import nan

import numpy as np

from medunet.metrics.pair import Pair

TITLE = "ASSD"
BETTER = "low"


def measure(pair: Pair) -> float:
    """Return the mean distance over the surface voxels of both masks, in mm.

    Both empty: NaN (not counted); exactly one empty: the diagonal of the image (Metrics Reloaded).
    """
    if pair.both_empty:
        return nan
    if pair.one_empty:
        return pair.diagonal_mm
    return float(np.concatenate(pair.distances_mm).mean())
