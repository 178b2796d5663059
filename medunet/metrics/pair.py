"""One structure in truth and prediction, cropped to where either of them is, with its surface distances.

Surface: the voxels of a mask with a face neighbour outside the mask; the border of the image (and of the
field of view) counts as outside. Distances run between voxel centres in mm. Source: Metrics Reloaded
(Maier-Hein et al., Nature Methods 2024), same surface as MONAI.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from scipy.spatial import KDTree

from medunet.errors import DataError

Mask = NDArray[np.bool_]
Labels = NDArray[Any]  # integers
Distances = NDArray[np.float64]
Box = tuple[slice, ...]


@dataclass(frozen=True)
class Pair:
    """A structure in truth and prediction, on the same crop of the image.

    diagonal_mm: the diagonal of the whole image, the distance that stands for "not found at all".
    tolerance_mm: the surface distance that counts as agreement.
    """

    truth: Mask
    prediction: Mask
    spacing_mm: tuple[float, ...]
    diagonal_mm: float
    tolerance_mm: float

    @cached_property
    def truth_voxels(self) -> int:
        """How many voxels the truth has."""
        return int(np.count_nonzero(self.truth))

    @cached_property
    def predicted_voxels(self) -> int:
        """How many voxels the prediction has."""
        return int(np.count_nonzero(self.prediction))

    @cached_property
    def shared_voxels(self) -> int:
        """How many voxels lie in both."""
        return int(np.count_nonzero(self.truth & self.prediction))

    @property
    def both_empty(self) -> bool:
        """Whether the structure is in neither: there is nothing to score."""
        return self.truth_voxels + self.predicted_voxels == 0

    @property
    def one_empty(self) -> bool:
        """Whether the structure is in exactly one of the two: missed, or invented."""
        return (self.truth_voxels == 0) != (self.predicted_voxels == 0)

    @cached_property
    def distances_mm(self) -> tuple[Distances, Distances]:
        """Distances from each surface voxel to the other surface: from the truth, and from the prediction."""
        truth, prediction = surface(self.truth), surface(self.prediction)
        return (
            _distances_mm(truth, prediction, self.spacing_mm),
            _distances_mm(prediction, truth, self.spacing_mm),
        )


def pair_of(
    truth: Labels,
    prediction: Labels,
    label: int,
    spacing_mm: Sequence[float],
    *,
    tolerance_mm: float = 1.0,
    fov: Labels | None = None,
) -> Pair:
    """Return the pair of one label; voxels where `fov` is 0 count as background in both."""
    return next(pairs(truth, prediction, [label], spacing_mm, tolerance_mm=tolerance_mm, fov=fov))


def pairs(
    truth: Labels,
    prediction: Labels,
    labels: Sequence[int],
    spacing_mm: Sequence[float],
    *,
    tolerance_mm: float = 1.0,
    fov: Labels | None = None,
) -> Iterator[Pair]:
    """Yield the pair of each label of two integer masks (X, Y[, Z]); both are 0 where `fov` is 0."""
    truth, prediction = _scored(truth, prediction, fov)
    of_truth, of_prediction = (find_objects(mask, max(labels)) for mask in (truth, prediction))
    size_mm = np.asarray(truth.shape) * np.asarray(spacing_mm, float)
    for label in labels:
        box = _joint(of_truth[label - 1], of_prediction[label - 1], truth.ndim)
        yield Pair(
            truth[box] == label,
            prediction[box] == label,
            tuple(float(edge) for edge in spacing_mm),
            float(np.linalg.norm(size_mm)),
            tolerance_mm,
        )


def merged(mask: Labels, labels: Sequence[int]) -> NDArray[np.uint8]:
    """Return a mask that is 1 where any of the labels is."""
    return np.isin(mask, np.asarray(labels, mask.dtype), kind="table").astype(np.uint8)


def surface(mask: Mask) -> Mask:
    """Return the voxels of a mask with a face neighbour outside it.

    >>> surface(np.ones((3, 3), bool)).sum()
    np.int64(8)
    """
    padded = np.pad(mask, 1)
    inside = mask.copy()
    for axis in range(mask.ndim):
        for start in (0, 2):
            window = [slice(1, -1)] * mask.ndim
            window[axis] = slice(start, start + mask.shape[axis])
            inside &= padded[tuple(window)]
    return np.asarray(mask & ~inside)


def _scored(truth: Labels, prediction: Labels, fov: Labels | None) -> tuple[Labels, Labels]:
    for name, mask in (("prediction", prediction), ("field of view", fov)):
        if mask is not None and mask.shape != truth.shape:
            raise DataError(
                f"the {name} has {mask.shape} voxels, expected {truth.shape} as the truth. "
                "Score masks that lie on the same grid."
            )
    if fov is not None:
        truth, prediction = np.where(fov > 0, truth, 0), np.where(fov > 0, prediction, 0)
    truth, prediction = (
        mask.astype(np.uint8) if mask.dtype == bool else mask for mask in (truth, prediction)
    )
    return truth, prediction


def _joint(first: Box | None, second: Box | None, dims: int) -> Box:
    if first is None or second is None:
        return first or second or (slice(0, 0),) * dims
    both = zip(first, second, strict=True)
    return tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in both)


def _distances_mm(here: Mask, there: Mask, spacing_mm: tuple[float, ...]) -> Distances:
    distances = np.zeros(np.count_nonzero(here))
    apart = ~there[here]  # shared surface voxels are 0 apart, and in a good mask they are many
    if apart.any():
        tree = KDTree(_points_mm(there, spacing_mm))
        distances[apart] = tree.query(_points_mm(here, spacing_mm)[apart], workers=-1)[0]
    return distances


def _points_mm(mask: Mask, spacing_mm: tuple[float, ...]) -> Distances:
    # Counted from 1: SciPy 1.17 splits a tree at 0 by the smallest number above it. Where the processor takes
    # denormal numbers for 0 (torch.set_flush_denormal), that never ends: the process dies of its stack.
    return (np.argwhere(mask) + 1) * np.asarray(spacing_mm)
