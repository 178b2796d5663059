"""Noise and grids in the power spectrum: too much or too little fine detail, and the seams of space-to-depth.

Power is of one voxel: white noise of variance v has power v at every frequency, in an image or a region of
any size. Frequencies are in cycles per voxel; 0.5 is the finest, a change from voxel to voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import gcd
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, Real
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.stats import ttest_ind

Array = NDArray[Any]
Masks = Sequence[Integer[Array, " ..."]]

EDGES = (0.0, 0.125, 0.25, 0.375, 1.0)  # of the bands; the last takes the corners of the spectrum in
HIGH = 2  # bands from here on are high frequency: 0.25 cycles per voxel and above
TAPER_VOXELS = 4.0  # over which a region's window rises from 0 to 1
LEAST_SIDE = 16  # voxels to which a small region is padded, so that every band has a frequency
LEAST_PERIODS = 4  # that a region must hold along each axis to tell a grid from its neighbours


def radial_power(
    image: Real[Array, " c *xyz"],
    mask: Integer[Array, " *xyz"] | None = None,
    label: int | None = None,
    *,
    edges: Sequence[float] = EDGES,
) -> Float[Array, " bands"]:
    """Return the mean power between each two `edges` of radial frequency, over channels.

    label: only this region (0: background) of the mask; None: the whole image. NaN: the region is empty.
    """
    rays = []
    for values in _windowed(image, mask, label):
        shape = [max(size, LEAST_SIDE) for size in values.shape]
        power = np.abs(np.fft.fftn(values, shape, range(values.ndim))) ** 2
        squared = sum(grid**2 for grid in np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij"))
        band = np.digitize(np.sqrt(squared).ravel(), edges) - 1
        inside = (band >= 0) & (band < len(edges) - 1)
        number = np.bincount(band[inside], minlength=len(edges) - 1)
        total = np.bincount(band[inside], power.ravel()[inside], minlength=len(edges) - 1)
        rays.append(np.divide(total, number, out=np.full(len(number), np.nan), where=number > 0))
    return np.mean(rays, axis=0) if rays else np.full(len(edges) - 1, np.nan)


def relative_power(
    synthetic: Float[Array, "m bands"], real: Float[Array, "n bands"]
) -> Float[Array, "3 bands"]:
    """Return the geometric mean of synthetic over that of real power per band, and its 95 % interval.

    Rows: ratio, low, high. 1: as real; above: noise or specks; below: blurred. Cases with NaN (no such
    region) are left out; NaN where a set has fewer than two. The interval is Welch's, of the logarithms.
    """
    kept = [rows[np.isfinite(rows).all(axis=1)] for rows in (synthetic, real)]
    if min(map(len, kept)) < 2:
        return np.full((3, real.shape[1]), np.nan)
    logs = [np.log(np.maximum(rows, np.finfo(float).tiny)) for rows in kept]
    found = ttest_ind(*logs, equal_var=False).confidence_interval(0.95)
    middle = logs[0].mean(axis=0) - logs[1].mean(axis=0)
    return np.exp(np.clip(np.stack([middle, found.low, found.high]), -700, 700))


def grid_ratio(
    images: Sequence[Real[Array, "c ..."]],
    period_voxels: int,
    masks: Masks | None = None,
    label: int | None = None,
) -> float:
    """Return how much stronger a set is at the frequencies of a grid of this period than beside them.

    About 1 without a grid; compare with the real set, which may have one of its own (JPEG, resampling).
    One image alone gives a noisy figure. NaN where no image has a region of four periods a side.
    """
    of_masks = [None] * len(images) if masks is None else masks
    powers = [
        grid_power(image, period_voxels, mask, label) for image, mask in zip(images, of_masks, strict=True)
    ]
    peak, around = np.nansum(powers, axis=0)
    return float(peak / around) if around > 0 else float("nan")


def grid_power(
    image: Real[Array, " c *xyz"],
    period_voxels: int,
    mask: Integer[Array, " *xyz"] | None = None,
    label: int | None = None,
) -> tuple[float, float]:
    """Return the mean power at the frequencies of a grid, and beside them; NaN where the region is too small.

    Space-to-depth by r repeats every r voxels: power at k/r cycles per voxel along any axis. Frequencies
    that a finer grid has too are left out, so period 4 does not count what period 2 does. The image is
    sharpened first, since its own spectrum falls steeply. Neighbours lie outside the window's main lobe.
    """
    fine = np.stack([channel - gaussian_filter(channel, 1.0) for channel in np.asarray(image, float)])
    peaks, around = [], []
    for values in _windowed(fine, mask, label):
        if min(values.shape) < LEAST_PERIODS * period_voxels:
            continue
        power = _power_near(values, period_voxels)
        for multiple in product(range(period_voxels), repeat=values.ndim):
            if gcd(period_voxels, *multiple) == 1:
                cell = power[tuple(slice(3 * k, 3 * k + 3) for k in multiple)]
                centre = float(cell[(1,) * values.ndim])
                peaks.append(centre)
                around.append((cell.sum() - centre) / (cell.size - 1))
    return (float(np.mean(peaks)), float(np.mean(around))) if peaks else (float("nan"), float("nan"))


def _power_near(values: Array, period: int) -> Array:
    """Return the power at k/period and a step below and above, for k = 0 to period - 1 along each axis."""
    found = values.astype(complex)
    for axis, size in enumerate(values.shape):
        step = min(3 / size, 1 / (2 * period))
        near = [k / period + offset for k in range(period) for offset in (-step, 0.0, step)]
        waves = np.exp(-2j * np.pi * np.outer(near, np.arange(size)))
        found = np.moveaxis(np.tensordot(waves, found, axes=(1, axis)), 0, axis)
    return np.abs(found) ** 2


def _windowed(image: Array, mask: Array | None, label: int | None) -> list[Array]:
    """Return each channel times a smooth window, cropped to it: mean 0, power per voxel; none if empty."""
    window = _window(image.shape[1:], mask, label)
    if not window.any():
        return []
    box = tuple(slice(where.min(), where.max() + 1) for where in np.nonzero(window))
    window = window[box]
    scale = np.sqrt((window**2).sum())
    crops = [np.asarray(channel, float)[box] for channel in image]
    return [(crop - (crop * window).sum() / window.sum()) * window / scale for crop in crops]


def _window(shape: tuple[int, ...], mask: Array | None, label: int | None) -> Array:
    """Return 0 outside the region, rising to 1 inside; a Hann window for a whole image."""
    if mask is None or label is None:
        window = np.ones(shape)
        for axis, size in enumerate(shape):
            hann = np.sin(np.pi * (np.arange(size) + 0.5) / size) ** 2
            window = window * hann.reshape([-1 if other == axis else 1 for other in range(len(shape))])
        return window
    depth = distance_transform_edt(np.pad(mask == label, 1))[(slice(1, -1),) * mask.ndim]
    rise = min(TAPER_VOXELS, max(float(depth.max()), 1.0))
    return np.where(depth > 0, np.sin(np.pi / 2 * np.clip((depth - 0.5) / rise, 0, 1)) ** 2, 0.0)
