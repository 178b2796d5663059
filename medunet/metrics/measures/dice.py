"""Overlap, as is customary in medical imaging."""

from __future__ import annotations

from math import nan

from medunet.metrics.pair import Pair

TITLE = "Dice"
BETTER = "high"


def measure(pair: Pair) -> float:
    """Return 2 |T & P| / (|T| + |P|), 0 to 1; both empty: NaN (not counted); exactly one empty: 0."""
    if pair.both_empty:
        return nan
    return 2.0 * pair.shared_voxels / (pair.truth_voxels + pair.predicted_voxels)
