"""Filtered copies of an image, on which the radiomic features are taken again: edges and texture by scale."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Float, Real
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

Array = NDArray[Any]

SIGMAS_VOXELS = (2.0, 3.0, 5.0)


def bands(image: Real[Array, " c *xyz"]) -> tuple[tuple[str, ...], Float[Array, " b *xyz"]]:
    """Return names and arrays: per channel the image, LoG of sigma 2, 3, 5 voxels, and Haar details.

    The Haar bands are undecimated, so that a mask fits them all; the one without any detail is left out,
    it is nearly the image itself. 7 bands a channel in 2D, 11 in 3D. As the image types of FRD v1
    (arXiv 2412.01496), which takes coiflets where this takes Haar.
    """
    names, arrays = [], []
    for number, channel in enumerate(np.asarray(image, float)):
        found = {"original": channel} | _laplacians(channel) | _haar(channel)
        names += [f"channel{number}.{name}" for name in found]
        arrays += list(found.values())
    return tuple(names), np.stack(arrays)


def _laplacians(channel: Array) -> dict[str, Array]:
    """Return the scale-normalised Laplacians of Gaussian, with reflecting borders.

    A cosine transform diagonalises both, so a large sigma costs no more than a small one.
    """
    squared = np.zeros(channel.shape)  # squared angular frequency
    for axis, size in enumerate(channel.shape):
        omega = np.pi * np.arange(size) / size
        squared += (omega**2).reshape([-1 if other == axis else 1 for other in range(channel.ndim)])
    spectrum = dctn(channel, norm="ortho")
    return {
        f"log{sigma:g}": idctn(
            -(sigma**2) * squared * np.exp(-(sigma**2) * squared / 2) * spectrum, norm="ortho"
        )
        for sigma in SIGMAS_VOXELS
    }


def _haar(channel: Array) -> dict[str, Array]:
    """Return the Haar bands with a detail along an axis: L is the mean of two voxels, H half their step."""
    found = {}
    for letters in product("LH", repeat=channel.ndim):
        if "H" in letters:
            band = channel
            for axis, letter in enumerate(letters):
                band = _haar_step(band, axis, 1.0 if letter == "L" else -1.0)
            found["haar" + "".join(letters)] = band
    return found


def _haar_step(band: Array, axis: int, sign: float) -> Array:
    """Return half of each voxel plus `sign` times half of the next; the last voxel is its own next."""
    last = np.take(band, [-1], axis=axis)
    following = np.concatenate([np.delete(band, 0, axis=axis), last], axis=axis)
    return (band + sign * following) / 2
