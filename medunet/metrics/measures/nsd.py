"""Normalised surface distance (surface Dice): the share of the outline that lies within the tolerance."""

from __future__ import annotations

from math import nan

import numpy as np

from medunet.metrics.pair import Pair

TITLE = "NSD"
BETTER = "high"

ROUNDING_MM = 1e-6  # so that a distance of exactly the tolerance counts as within it


def measure(pair: Pair) -> float:
    """Return the share of surface voxels of both masks within `tolerance_mm` of the other surface, 0 to 1.

    Both empty: NaN (not counted); exactly one empty: 0. Source: Nikolov et al., JMIR 2021, equation 3, with
    every surface voxel counted once.
    """
    if pair.both_empty:
        return nan
    if pair.one_empty:
        return 0.0
    return float((np.concatenate(pair.distances_mm) <= pair.tolerance_mm + ROUNDING_MM).mean())
