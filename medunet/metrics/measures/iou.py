"""Overlap as intersection over union (Jaccard index)."""

from __future__ import annotations

from math import nan

from medunet.metrics.pair import Pair

TITLE = "IoU"
BETTER = "high"


def measure(pair: Pair) -> float:
    """Return |T & P| / |T or P|, 0 to 1; both empty: NaN (not counted); exactly one empty: 0."""
    if pair.both_empty:
        return nan
    return pair.shared_voxels / (pair.truth_voxels + pair.predicted_voxels - pair.shared_voxels)
