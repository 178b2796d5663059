"""From a scan as read to the grid and intensities a network sees; the same for training and inference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medunet.config.card import Card
from medunet.config.plan import ChannelStatistics, Plan
from medunet.errors import DataError
from medunet.geometry import resampled_shape
from medunet.io.limits import MAX_VOXELS, check_memory, rounded

Image = NDArray[np.float32]
Mask = NDArray[np.uint8]

SAME_SPACING = 0.01  # relative difference below which resampling would only blur
ANISOTROPIC = 3.0  # ratio of voxel edges above which slices are not interpolated smoothly (nnU-Net v2)
CUBIC = 3  # order of a spline
RESAMPLING_BYTES = 16  # per voxel and channel: what comes in and goes out, and the spline's coefficients
FLAT_STD = 1e-6  # below it an image is constant


def network_shape(shape: Sequence[int], spacing_mm: Sequence[float], plan: Plan) -> tuple[int, ...]:
    """Return the shape on the network's grid; an axis whose spacing fits already is kept as it is."""
    new = resampled_shape(shape, spacing_mm, plan.spacing_mm)
    pairs = zip(shape, spacing_mm, plan.spacing_mm, new, strict=True)
    found = tuple(n if abs(old / wanted - 1) < SAME_SPACING else m for n, old, wanted, m in pairs)
    if math.prod(found) > MAX_VOXELS:
        raise DataError(
            f"an image of {rounded(shape)} voxels with edges of {rounded(spacing_mm)} mm would be "
            f"{rounded(found)} voxels on the network's grid of {rounded(plan.spacing_mm)} mm. "
            "Is the unit of its spacing right? It should be mm."
        )
    return found


def resample_image(image: Image, shape: Sequence[int], spacing_mm: Sequence[float]) -> Image:
    """Return the (C, X, Y[, Z]) image on another shape over the same field of view.

    Cubic splines; nearest neighbour along an axis more than three times coarser than the others, where a
    smooth curve through far apart slices would invent anatomy (rule of nnU-Net v2).
    """
    if tuple(image.shape[1:]) == tuple(shape):
        return image
    finest = min(spacing_mm)
    orders = [0 if edge / finest > ANISOTROPIC else CUBIC for edge in spacing_mm]
    most = max(math.prod(shape), math.prod(image.shape[1:]))
    check_memory(len(image) * most * RESAMPLING_BYTES, f"resampling to {rounded(shape)} voxels")
    out = image
    for order in sorted(set(orders), reverse=True):
        aim = [n if o == order else m for n, m, o in zip(shape, out.shape[1:], orders, strict=True)]
        out = np.stack([_zoom(channel, aim, order) for channel in out])
    return out


def resample_mask(mask: Mask, shape: Sequence[int]) -> Mask:
    """Return the (X, Y[, Z]) labels on another shape; shares of labels are interpolated, the largest wins."""
    if tuple(mask.shape) == tuple(shape):
        return mask
    best = np.full(shape, -1.0, np.float32)
    out = np.zeros(shape, np.uint8)
    for label in np.unique(mask):
        share = _zoom((mask == label).astype(np.float32), shape, 1)
        wins = share > best
        out[wins] = label
        best[wins] = share[wins]
    return out


def _zoom(array: Image, shape: Sequence[int], order: int) -> Image:
    if order == CUBIC:
        return _cubic_zoom(array, shape)
    factors = [n / m for n, m in zip(shape, array.shape, strict=True)]
    # grid_mode keeps the outer corners in place, as geometry.with_spacing does
    return np.asarray(ndimage.zoom(array, factors, order=order, mode="nearest", grid_mode=True))


def _cubic_zoom(array: Image, shape: Sequence[int]) -> Image:
    """Return an array (X, Y[, Z]) on another shape, as `ndimage.zoom` does with cubic splines.

    They are linear and go axis by axis, so each axis is one matrix product: the same numbers but for
    rounding, in a tenth of the time. Axes that shrink come first.
    """
    changed = [axis for axis, size in enumerate(shape) if size != array.shape[axis]]
    for axis in sorted(changed, key=lambda a: shape[a] / array.shape[a]):
        weights = _cubic_weights(array.shape[axis], shape[axis])
        array = np.moveaxis(np.tensordot(weights, array, (1, axis)), 0, axis)
    return np.ascontiguousarray(array)


@lru_cache(maxsize=32)
def _cubic_weights(size: int, out_size: int) -> Image:
    """Return what each of `size` voxels of an axis counts for in the new ones: (out_size, size)."""
    zoom = (out_size / size, 1)
    weights = ndimage.zoom(np.eye(size), zoom, order=CUBIC, mode="nearest", grid_mode=True)
    return np.asarray(weights, np.float32)


def normalise(image: Image, plan: Plan) -> Image:
    """Return (C, X, Y[, Z]) intensities as the network expects them.

    `ct`: clipped to the data set's 0.5 and 99.5 percentiles inside labels, then its mean and std.
    `zscore`: clipped to the image's own 0.5 and 99.5 percentiles, then its own mean and std.
    """
    out = np.array(image, np.float32)  # everything after it happens in place: images are large
    for number, channel in enumerate(out):
        if plan.normalisation == "ct":
            known = plan.statistics[number]
            _clip(channel, known.percentile_00_5, known.percentile_99_5)
            channel -= known.mean
            std = known.std
        else:
            _clip(channel, *map(float, np.percentile(channel, (0.5, 99.5))))
            channel -= channel.mean(dtype=np.float64).astype(np.float32)
            squares = sum(float(np.square(part, dtype=np.float64).sum()) for part in channel)
            std = math.sqrt(squares / channel.size)
        channel /= max(std, FLAT_STD)
    return out


def _clip(channel: Image, low: float, high: float) -> None:
    if high > low:
        np.clip(channel, low, high, out=channel)


def statistics_of(samples: NDArray[np.float64]) -> tuple[ChannelStatistics, ...]:
    """Return per-channel statistics of intensities (n, C) drawn inside labels."""
    low, high = np.percentile(samples, (0.5, 99.5), axis=0)
    columns = zip(samples.mean(0), samples.std(0), low, high, strict=True)
    return tuple(
        ChannelStatistics(mean=float(m), std=float(s), percentile_00_5=float(a), percentile_99_5=float(b))
        for m, s, a, b in columns
    )


def to_outputs(mask: Mask, card: Card) -> Mask:
    """Turn the card's label values into network outputs 0, 1, 2, ..."""
    table = np.zeros(256, np.uint8)
    table[list(card.labels)] = np.arange(1, len(card.labels) + 1)
    return np.asarray(table[mask])


def from_outputs(outputs: Mask, card: Card) -> Mask:
    """Turn network outputs 0, 1, 2, ... into the card's label values."""
    table = np.array([0, *card.labels], np.uint8)
    return np.asarray(table[outputs])
