"""Radiomic features of image regions, and the Frechet radiomic distance of two sets.

The features are those of a scan that a radiologist could name: brightness, spread, texture, at several
scales (FRD v1: Konz, Osuala et al., arXiv 2412.01496). 245 a channel and region in 2D, 385 in 3D.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, Real
from numpy.typing import NDArray

from medunet.errors import DataError
from medunet.metrics.quality import first_order, texture
from medunet.metrics.quality.bands import bands
from medunet.metrics.quality.frechet import frechet

Array = NDArray[Any]

BINS = 16  # few enough for the co-occurrence of a small lesion
KINDS = (
    *(f"first.{name}" for name in first_order.NAMES),
    *(f"glcm.{name}" for name in texture.GLCM_NAMES),
    *(f"ngtdm.{name}" for name in texture.NGTDM_NAMES),
)
CONSTANT = 1e-6  # a deviation below this, or this share of the mean, is rounding and no unit to measure by
LIMIT = 10.0  # deviations: one odd case must not decide the distance of two sets


def features(
    image: Real[Array, " c *xyz"], mask: Integer[Array, " *xyz"], label: int | None = None
) -> tuple[Float[Array, " f"], tuple[str, ...]]:
    """Return the features of one region and their names; NaN where the image does not have the label.

    label: a value of the mask (0: the background); None: the whole image. Intensities should be z-scored;
    each band is cut into 16 levels of equal width between its least and greatest value in the region.
    """
    values, names = by_label(image, mask, [label])
    return values[0], names


def by_label(
    image: Real[Array, " c *xyz"], mask: Integer[Array, " *xyz"], labels: Sequence[int | None]
) -> tuple[Float[Array, "l f"], tuple[str, ...]]:
    """Return the features of several regions of one image: the filters are run only once."""
    if image.shape[1:] != mask.shape:
        raise DataError(
            f"image of {image.shape[1:]} and mask of {mask.shape} voxels, expected equal shapes. "
            "Give each image the mask on its own grid."
        )
    kinds, arrays = bands(image)
    names = tuple(f"{band}.{kind}" for band in kinds for kind in KINDS)
    regions = [np.ones(mask.shape, bool) if label is None else mask == label for label in labels]
    return np.stack([_of_region(arrays, region) for region in regions]), names


def table(
    images: Sequence[Real[Array, "c ..."]],
    masks: Sequence[Integer[Array, " ..."]],
    labels: Sequence[int | None],
) -> dict[int | None, Float[Array, "n f"]]:
    """Return one feature table (cases, features) per label; images may differ in size."""
    rows = [by_label(image, mask, labels)[0] for image, mask in zip(images, masks, strict=True)]
    return dict(zip(labels, np.stack(rows, axis=1), strict=True))


def radiomic_frechet(real: Float[Array, "n f"], synthetic: Float[Array, "m f"]) -> float:
    """Return the squared Frechet distance of z-scored feature tables (`standardised`, `frechet.frechet`)."""
    return frechet(*standardised(real, synthetic))


def log_radiomic_frechet(real: Float[Array, "n f"], synthetic: Float[Array, "m f"]) -> float:
    """Return the log of the Frechet distance: FRD as in equation 3 of arXiv 2412.01496.

    The package `frd-score` prints the log of the squared distance, twice as much.
    """
    return float(np.log(max(radiomic_frechet(real, synthetic), np.finfo(float).tiny)) / 2)


def standardised(real: Float[Array, "n f"], *others: Float[Array, "_ f"]) -> tuple[Float[Array, "_ g"], ...]:
    """Return the tables z-scored by mean and deviation of the real one, real first, without NaN.

    Left out: features that do not vary in the real set (no unit to measure by), cases without the region.
    Values are cut at 10 deviations.
    Raises DataError where fewer than two real cases or no case of another set have the region.
    """
    kept = [rows[np.isfinite(rows).all(axis=1)] for rows in (real, *others)]
    if len(kept[0]) < 2 or any(len(rows) == 0 for rows in kept):
        counts = ", ".join(str(len(rows)) for rows in kept)
        raise DataError(f"{counts} cases have the region, expected 2 real and 1 other. Leave this label out.")
    mean, deviation = kept[0].mean(axis=0), kept[0].std(axis=0)
    varies = deviation > CONSTANT * np.maximum(np.abs(mean), 1.0)
    units = [(rows[:, varies] - mean[varies]) / deviation[varies] for rows in kept]
    return tuple(np.clip(rows, -LIMIT, LIMIT) for rows in units)


def _of_region(arrays: Array, region: Array) -> Array:
    """Return the features of all bands in one region, one after another."""
    if not region.any():
        return np.full(len(arrays) * len(KINDS), np.nan)
    box = tuple(slice(where.min(), where.max() + 1) for where in np.nonzero(region))
    region, arrays = region[box], arrays[(slice(None), *box)]
    values = arrays[:, region]
    levels = _levels(values)
    grid = np.zeros(arrays.shape, np.int64)
    grid[:, region] = levels
    found = [
        first_order.first_order(values, levels, BINS),
        texture.glcm(texture.cooccurrence(grid, region, BINS)),
        texture.ngtdm(grid, region, BINS),
    ]
    return np.concatenate(found, axis=1).ravel()


def _levels(values: Array) -> Array:
    """Return levels of equal width between the least and the greatest value of each band."""
    low = values.min(axis=1, keepdims=True)
    width = (values.max(axis=1, keepdims=True) - low) / BINS
    flat = width <= 1e-12
    scaled = np.where(flat, 0.0, (values - low) / np.where(flat, 1.0, width))
    return np.minimum(scaled.astype(np.int64), BINS - 1)
