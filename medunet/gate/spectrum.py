"""Is the fine detail of a sample real? Specks, over-smooth surfaces, and the grid of folded pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medunet.config.gate import GateSettings
from medunet.config.samples import Check
from medunet.metrics.quality.spectrum import EDGES, HIGH, grid_power, radial_power

PERIODS = (2, 4, 8)  # voxels that space-to-depth networks of medunet fold; small windows have fewer
LEAST_VOXELS = 64  # of a region, for a spectrum
SPANNED = (1.0, 99.0)  # percentiles of the real pieces


@dataclass(frozen=True)
class Spectra:
    """What real pieces span; rows are labels (0: background), columns bands from 0.25 cycles per voxel on."""

    low: NDArray[np.float64]  # (labels, bands) log power
    high: NDArray[np.float64]
    grid: NDArray[np.float64]  # (periods,) of the power at a grid over that beside it

    @classmethod
    def of(
        cls, images: Sequence[NDArray[np.float32]], masks: Sequence[NDArray[np.uint8]], labels: int
    ) -> Spectra:
        """Learn from real images (C, X, Y[, Z]) and masks with network outputs below `labels`."""
        pairs = list(zip(images, masks, strict=True))
        powers = np.stack([_powers(image, mask, labels) for image, mask in pairs])
        grids = np.stack([_grids(image) for image, _ in pairs])
        low, high = (_percentile(powers, percentile) for percentile in SPANNED)
        return cls(low, high, _percentile(grids, SPANNED[1]))

    def check(
        self,
        image: NDArray[np.float32],
        mask: NDArray[np.uint8],
        names: Sequence[str],
        settings: GateSettings,
    ) -> Check:
        """Return the check of one image: how many times its power is beyond what real pieces span."""
        found = _powers(image, mask, len(self.low))
        above, below = found - self.high, self.low - found
        times = np.exp(np.fmax(above, below))
        grid = _grids(image) / self.grid
        if np.nan_to_num(grid).max() > settings.grid:
            period = PERIODS[int(np.nanargmax(grid))]
            number, limit = float(np.nanmax(grid)), settings.grid
            reason = (
                f"a grid of period {period}: {number:.2f} times the power that 99 % of real pieces have there"
            )
        elif np.isnan(times).all():
            return Check(
                name="spectrum", passed=True, number=None, limit=None, reason="no region is large enough"
            )
        else:
            label, band = np.unravel_index(np.nanargmax(times), times.shape)
            number, limit = float(times[label, band]), settings.high_frequency
            word = "more" if above[label, band] > below[label, band] else "less"
            where = f"{['background', *names][label]} at {EDGES[HIGH + band]:g} cycles per voxel and above"
            reason = f"{where}: {number:.2f} times {word} power than the span of real pieces"
        return Check(
            name="spectrum",
            passed=number <= limit,
            number=round(number, 4),
            limit=limit,
            reason=reason,
        )


def _powers(image: NDArray[np.float32], mask: NDArray[np.uint8], labels: int) -> NDArray[np.float64]:
    """Return log power (labels, bands) at high frequencies; NaN where a label has too few voxels."""
    out = np.full((labels, len(EDGES) - 1 - HIGH), np.nan)
    for label in range(labels):
        if (mask == label).sum() >= LEAST_VOXELS:
            out[label] = np.log(np.maximum(radial_power(image, mask, label)[HIGH:], 1e-12))
    return out


def _grids(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the power at each grid over that beside it; NaN where the image is too small."""
    pairs = [grid_power(image, period) for period in PERIODS]
    return np.array([peak / beside if beside > 0 else np.nan for peak, beside in pairs])


def _percentile(table: NDArray[np.float64], percentile: float) -> NDArray[np.float64]:
    known = ~np.isnan(table).all(0)
    out = np.full(table.shape[1:], np.nan)
    out[known] = np.nanpercentile(table[:, known], percentile, axis=0)
    return out
