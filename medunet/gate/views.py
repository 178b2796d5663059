"""What the search for copies sees of a case: a small grey picture, and what its mask does not explain of it.

A faithful image of a borrowed mask is like the training image wherever the mask says so. Only what is left
after each label's profile from its border inwards is taken away can tell one patient from another.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]
Labels = NDArray[np.uint8]

LONGEST = {2: 48, 3: 24}  # voxels of the longest axis that is compared; finer detail is mostly noise
SHORTEST = 8  # an axis is not averaged below it
SMOOTH = 0.7  # sigma in compared voxels: a copy that is moved by a part of one keeps its texture
NEIGHBOURHOOD = 4.0  # sigma, in compared voxels, over which brightness and contrast are made equal
# Contrast below so many times `noise` stays flat. SMOOTH leaves of white noise a ninth (2D), a 27th (3D).
NOISE_TIMES = {2: 50.0, 3: 80.0}
FLAT = 0.05  # nor below this share of the image's own contrast
EDGES = (1.01, 1.5, 2.01, 3.01, 4.5, 6.5, 9.5, 14.0)  # of the shells, in compared voxels from a border
TINY = 1e-6
MAD = 1.4826  # of a normal distribution: sigma over the median absolute deviation


@dataclass(frozen=True)
class Turn:
    """A permutation of axes, and which of the new axes are flipped."""

    axes: tuple[int, ...]
    flipped: tuple[bool, ...]

    def of(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return an array (X, Y[, Z]) turned."""
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return np.ascontiguousarray(array.transpose(self.axes)[steps])


@dataclass(frozen=True)
class View:
    """A case as it is compared; arrays (X, Y[, Z]) of one shape."""

    grey: Array
    foreground: Array  # 1 inside any label
    shell: Array  # number of the shell of each voxel

    def looks(self, grey: Array | None = None, least: float = 0.0) -> tuple[Array, Array]:
        """Return the local contrast, and what the mask does not explain of it.

        grey: another image in its place. least: see `local_contrast`.
        """
        contrast = local_contrast(self.grey if grey is None else grey, least)
        return contrast, unexplained(contrast, self.shell.astype(np.intp))

    def turned(self, turn: Turn) -> View:
        """Return the view turned."""
        return self._each(turn.of)

    def shrunk(self, zoom: float) -> View:
        """Return the view made smaller by `zoom`."""
        if zoom == 1:
            return self
        return self._each(
            lambda array: np.asarray(
                ndimage.zoom(array, 1 / zoom, order=1, grid_mode=True, mode="nearest"), np.float32
            )
        )

    def middle(self, shape: Sequence[int]) -> View:
        """Return the middle part of a view that is at least as large."""
        first = [(size - wanted) // 2 for size, wanted in zip(self.grey.shape, shape, strict=True)]
        box = tuple(slice(a, a + n) for a, n in zip(first, shape, strict=True))
        return self._each(lambda array: array[box])

    def _each(self, function: Callable[[Array], Array]) -> View:
        return View(function(self.grey), function(self.foreground), function(self.shell))


def turns(shape: Sequence[int]) -> tuple[Turn, ...]:
    """Return all flips; in 2D with the quarter turns, where the shape allows them.

    >>> len(turns((64, 64))), len(turns((64, 48))), len(turns((8, 8, 8)))
    (8, 4, 8)
    """
    d = len(shape)
    orders = [(0, 1), (1, 0)] if d == 2 and shape[0] == shape[1] else [tuple(range(d))]
    return tuple(Turn(o, f) for o in orders for f in itertools.product((False, True), repeat=d))


def factors(window: Sequence[int]) -> tuple[int, ...]:
    """Return how many voxels per axis are averaged into a compared one.

    >>> factors((64, 64)), factors((32, 48, 32)), factors((256, 256, 12))
    ((2, 2), (2, 2, 2), (11, 11, 1))
    """
    wanted = -(-max(window) // LONGEST[len(window)])
    return tuple(max(1, min(wanted, size // SHORTEST)) for size in window)


def view_of(image: Array, mask: Labels, window: Sequence[int]) -> View:
    """Return the view of an image (C, X, Y[, Z]) and mask (X, Y[, Z]), on the scale for this window.

    What is smaller than the window is continued by reflection. Grey: the mean of the channels.
    """
    by = factors(window)
    grey = averaged(filled(image.mean(0), window), by)
    grey = np.asarray(ndimage.gaussian_filter(grey, SMOOTH, mode="nearest"), np.float32)
    labels = filled(mask, window, "constant").astype(np.uint8)
    inner = tuple(slice(k // 2, n // k * k, k) for n, k in zip(labels.shape, by, strict=True))
    labels = labels[inner]
    return View(grey, (labels > 0).astype(np.float32), shells(labels).astype(np.float32))


def filled(
    array: NDArray[np.float32] | Labels, shape: Sequence[int], mode: str = "reflect"
) -> NDArray[np.float32]:
    """Return an array that has at least this shape, continued evenly on both sides."""
    lacking = [max(0, wanted - size) for size, wanted in zip(array.shape, shape, strict=True)]
    if not any(lacking):
        return np.asarray(array)
    return np.pad(array, [(n // 2, n - n // 2) for n in lacking], mode=mode)  # type: ignore[call-overload]


def averaged(array: Array, by: Sequence[int]) -> Array:
    """Return the means over blocks; what makes no whole block is left out."""
    shape = [n // k for n, k in zip(array.shape, by, strict=True)]
    kept = array[tuple(slice(0, n * k) for n, k in zip(shape, by, strict=True))]
    split = kept.reshape([size for n, k in zip(shape, by, strict=True) for size in (n, k)])
    return np.asarray(split.mean(tuple(range(1, 2 * array.ndim, 2))), np.float32)


def root(image: Array) -> Array:
    """Return the square root of what is above the darkest voxel: the brightest do not drown all others."""
    return np.asarray(np.sqrt(image - image.min()), np.float32)


def local_contrast(image: Array, least: float = 0.0) -> Array:
    """Return the image with local mean 0 and local standard deviation near 1; flat places stay flat.

    least: contrast that counts as flat at least, as `flat_below` gives it, so that of two images neither
    shows what is noise in the other.
    """
    mean = ndimage.gaussian_filter(image, NEIGHBOURHOOD, mode="reflect")
    square = ndimage.gaussian_filter((image - mean) ** 2, NEIGHBOURHOOD, mode="reflect")
    floor = max(flat_below(image), least) * float(image.std()) + TINY
    return np.asarray((image - mean) / (np.sqrt(np.maximum(square, 0)) + floor), np.float32)


def flat_below(image: Array) -> float:
    """Return the contrast below which an image counts as flat, of its standard deviation."""
    return max(FLAT, NOISE_TIMES[image.ndim] * noise(image) / (float(image.std()) + TINY))


def noise(image: Array) -> float:
    """Return the standard deviation of white noise, from second differences (as Immerkaer 1996)."""
    for axis in range(image.ndim):
        image = np.diff(image, 2, axis=axis) / np.sqrt(6.0)
    return MAD * float(np.median(np.abs(image))) if image.size else 0.0


def unexplained(contrast: Array, shell: NDArray[np.intp]) -> Array:
    """Return the image less the mean of each shell: one label at one distance from its border."""
    flat = shell.ravel()
    count = np.bincount(flat)
    mean = np.bincount(flat, contrast.ravel()) / np.maximum(count, 1)
    return np.asarray(contrast - mean[flat].reshape(contrast.shape), np.float32)


def shells(mask: Labels) -> NDArray[np.intp]:
    """Return for each voxel the number of its shell; the border of the image is no border of a label."""
    out = np.zeros(mask.shape, np.intp)
    for index, label in enumerate(np.unique(mask)):
        inside = mask == label
        if not inside.all():
            deep = ndimage.distance_transform_edt(np.pad(inside, 1, mode="edge"))
            deep = deep[(slice(1, -1),) * mask.ndim]
            out[inside] = index * (len(EDGES) + 1) + np.digitize(deep[inside], EDGES)
    return out
