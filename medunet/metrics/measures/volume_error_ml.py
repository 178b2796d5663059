"""Signed error of the volume: above 0, the prediction is too large."""

from __future__ import annotations

from math import nan

from medunet.geometry import voxel_volume_ml
from medunet.metrics.pair import Pair

TITLE = "Volume error"
BETTER = "zero"


def measure(pair: Pair) -> float:
    """Return predicted minus true volume in ml (2D: area in 1000 mm^2); both empty: NaN (not counted)."""
    if pair.both_empty:
        return nan
    return (pair.predicted_voxels - pair.truth_voxels) * voxel_volume_ml(pair.spacing_mm)
