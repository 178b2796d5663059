"""Variety within a set: how alike are two of its images? Mode collapse makes all pairs alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Real
from numpy.typing import NDArray

from medunet.errors import DataError

Array = NDArray[Any]
Images = Sequence[Real[Array, "c ..."]]

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first (Wang et al. 2003)
SCALES = ((5, 11), (4, 11), (3, 11), (3, 7), (2, 7), (2, 5), (2, 3), (1, 3))  # scales, kernel in voxels
LARGEST_KERNEL_3D = 7
MOST_IMAGES = {2: 48, 3: 24}  # by dimensions: 1128 and 276 pairs
BATCH = 64  # pairs
DRAWS = 1000


@dataclass(frozen=True)
class Diversity:
    """Mean MS-SSIM of pairs of real and of synthetic images, and synthetic - real: above 0, less variety."""

    real: float
    synthetic: float
    difference: float
    difference_ci95: tuple[float, float]

    def as_json(self) -> dict[str, Any]:
        """Return plain values; intervals become lists."""
        return asdict(self) | {"difference_ci95": list(self.difference_ci95)}


def diversity(real: Images, synthetic: Images, *, seed: int = 0) -> Diversity:
    """Return the mean pairwise MS-SSIM within each set, with a bootstrap interval over images.

    Intensities are cut to the 0.5 to 99.5 percentiles of the real set and images to the middle that all
    have; at most 48 images of a set are drawn, 24 in 3D. Raises DataError below 3 images.
    """
    for name, images in (("real", real), ("synthetic", synthetic)):
        if len(images) < 3:
            raise DataError(f"{len(images)} {name} images, expected at least 3 for pairs. Give more images.")
    random = np.random.default_rng(seed)
    most = MOST_IMAGES[real[0].ndim - 1]
    kept = [[images[i] for i in random.permutation(len(images))[:most]] for images in (real, synthetic)]
    low, high = np.percentile(np.concatenate([image.ravel() for image in kept[0]]), [0.5, 99.5])
    shape = tuple(
        min(sizes) for sizes in zip(*(image.shape[1:] for half in kept for image in half), strict=True)
    )
    stacks = [
        np.stack([np.clip((_middle(i, shape) - low) / max(high - low, 1e-12), 0, 1) for i in half])
        for half in kept
    ]
    squares = [pairwise_ms_ssim(stack) for stack in stacks]
    means = [_mean_of_pairs(square, np.ones((1, len(square))))[0] for square in squares]
    drawn = [_mean_of_pairs(square, _draws(len(square), random)) for square in squares]
    both = min(map(len, drawn))  # of a few images, draws without a pair have gone
    low, high = np.percentile(drawn[1][:both] - drawn[0][:both], [2.5, 97.5])
    return Diversity(float(means[0]), float(means[1]), float(means[1] - means[0]), (float(low), float(high)))


def pairwise_ms_ssim(images: Real[Array, "n c *xyz"]) -> Float[Array, "n n"]:
    """Return the MS-SSIM of all pairs of images with intensities of 0 to 1; the diagonal is 1.

    As many scales, and as large a kernel, as the size allows (`scales`).
    """
    import torch
    from monai.metrics.regression import MultiScaleSSIMMetric  # some seconds to import

    levels, kernel = scales(images.shape[2:])
    metric = MultiScaleSSIMMetric(
        images.ndim - 2,
        kernel_size=kernel,
        kernel_sigma=min(1.5, kernel / 4.7),
        weights=[weight / sum(WEIGHTS[:levels]) for weight in WEIGHTS[:levels]],
        reduction="none",
    )
    tensor = torch.as_tensor(images, dtype=torch.float32)
    rows, columns = np.triu_indices(len(images), 1)
    found = np.eye(len(images))
    for start in range(0, len(rows), BATCH):
        i, j = rows[start : start + BATCH], columns[start : start + BATCH]
        found[i, j] = found[j, i] = metric(tensor[i], tensor[j]).numpy()[:, 0]
    return found


def scales(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many scales and what kernel an image of this shape allows, as MONAI asks for.

    >>> scales((256, 256)), scales((64, 64)), scales((32, 32, 32))
    ((5, 11), (3, 11), (3, 7))
    """
    for levels, kernel in SCALES:
        coarsest = min(shape) // max((levels - 1) ** 2, 2 ** (levels - 1))  # MONAI asks for the square
        if coarsest >= kernel and (len(shape) == 2 or kernel <= LARGEST_KERNEL_3D):
            return levels, kernel
    raise DataError(f"images of {shape} voxels, expected at least 3 along each axis. Give larger images.")


def _middle(image: Array, shape: tuple[int, ...]) -> Array:
    starts = [(have - want) // 2 for have, want in zip(image.shape[1:], shape, strict=True)]
    return image[(slice(None), *(slice(s, s + want) for s, want in zip(starts, shape, strict=True)))]


def _draws(count: int, random: np.random.Generator) -> Array:
    """Return how often each image is drawn: (draws, images). A set of one image only has no pairs."""
    drawn = random.multinomial(count, np.full(count, 1 / count), size=DRAWS).astype(float)
    return drawn[(drawn > 0).sum(axis=1) > 1]


def _mean_of_pairs(square: Array, times: Array) -> Array:
    """Return the mean over pairs of different images, each image counted `times`; (draws,)."""
    apart = 1 - np.eye(len(square))
    return np.einsum("di,ij,dj->d", times, square * apart, times) / np.einsum(
        "di,ij,dj->d", times, apart, times
    )
