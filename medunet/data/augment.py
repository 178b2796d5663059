"""Variation of training patches: parameters are drawn first, then applied by deterministic twins.

`draw` gives a Variation; `vary_space` and `vary_intensity` replay it exactly. Ranges and probabilities come
from the recipe; the defaults follow nnU-Net v2's list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as nnf
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor

from medunet.config.recipe import Augmentation

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Variation:
    """What will be done to one patch; None or empty: nothing of that kind."""

    matrix: Matrix | None = None  # (d, d) patch offset -> image offset, in voxels: rotation and scale
    flips: tuple[int, ...] = ()  # spatial axes
    noise: tuple[float, int] | None = None  # std, seed
    blur_voxels: float | None = None
    brightness: float | None = None  # factor
    contrast: float | None = None  # factor about the mean
    low_resolution: float | None = None  # share of the voxels per axis that is kept
    gamma: tuple[float, bool] | None = None  # exponent, on the inverted image
    colour: tuple[tuple[float, float], ...] | None = None  # per channel: factor, shift


def draw(
    generator: np.random.Generator, how: Augmentation, spacing_mm: Sequence[float], channels: int
) -> Variation:
    """Draw a variation for one patch."""

    def happens(probability: float) -> bool:
        return bool(generator.random() < probability)

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    dims = len(spacing_mm)
    rotate, scale = happens(how.rotate), happens(how.scale)
    matrix = None
    if rotate or scale:
        degrees = how.rotate_degrees if rotate else 0.0
        factor = between(*how.scale_range) if scale else 1.0
        matrix = _matrix([between(-degrees, degrees) for _ in range(3)], factor, spacing_mm)
    axes = range(dims) if how.flip_axes is None else [axis for axis in how.flip_axes if axis < dims]
    return Variation(
        matrix=matrix,
        flips=tuple(axis for axis in axes if happens(how.flip)),
        noise=(between(0, how.noise_std), int(generator.integers(2**31))) if happens(how.noise) else None,
        blur_voxels=between(*how.blur_voxels) if happens(how.blur) else None,
        brightness=between(0.75, 1.25) if happens(how.brightness) else None,
        contrast=between(0.75, 1.25) if happens(how.contrast) else None,
        low_resolution=between(0.5, 1.0) if happens(how.low_resolution) else None,
        gamma=(between(*how.gamma_range), happens(0.25)) if happens(how.gamma) else None,
        colour=tuple((between(0.8, 1.2), between(-0.3, 0.3)) for _ in range(channels))
        if happens(how.colour)
        else None,
    )


def _matrix(angles_degrees: Sequence[float], factor: float, spacing_mm: Sequence[float]) -> Matrix:
    """Return rotation and scale in voxel units; rotation happens in mm, so thick slices are not sheared."""
    dims = len(spacing_mm)
    angles = list(angles_degrees) if dims == 3 else [0.0, 0.0, angles_degrees[2]]
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()[:dims, :dims]
    edges = np.diag(np.asarray(spacing_mm, float))
    return np.asarray(np.linalg.inv(edges) @ (rotation / factor) @ edges)


def source_box(
    centre: Sequence[float] | Matrix, patch: Sequence[int], matrix: Matrix | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return first voxel and shape of the box of the image that a patch (turned by `matrix`) looks at."""
    half = (np.asarray(patch, float) - 1) / 2
    reach = half if matrix is None else np.abs(matrix) @ half + 1
    first = np.floor(np.asarray(centre) - reach + 1e-6).astype(int)
    last = (
        first + np.asarray(patch) - 1 if matrix is None else np.ceil(np.asarray(centre) + reach).astype(int)
    )
    return tuple(int(n) for n in first), tuple(int(n) for n in last - first + 1)


def vary_space(
    image: Tensor, mask: Tensor, variation: Variation, patch: Sequence[int], pairs: Sequence[tuple[int, int]]
) -> tuple[Tensor, Tensor]:
    """Turn, scale and flip the boxes (C, *box) and (*box) into patches (C, *patch) and (*patch).

    When the left-right axis (0) is flipped, the labels of each pair change places.
    """
    if variation.matrix is not None:
        grid = _grid(variation.matrix, image.shape[1:], patch)
        image = nnf.grid_sample(image[None], grid, padding_mode="border", align_corners=True)[0]
        mask = nnf.grid_sample(mask[None, None].float(), grid, mode="nearest", align_corners=True)[0, 0].to(
            mask.dtype
        )
    if variation.flips:
        image = image.flip([axis + 1 for axis in variation.flips])
        mask = mask.flip(list(variation.flips))
    if 0 in variation.flips and pairs:
        swapped = mask.clone()
        for left, right in pairs:
            swapped[mask == left], swapped[mask == right] = right, left
        mask = swapped
    return image, mask


def _grid(matrix: Matrix, box: Sequence[int], patch: Sequence[int]) -> Tensor:
    """Return the sampling grid (1, *patch, d) of torch: image axes reversed, [-1, 1] between centres."""
    axes = [torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in patch]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    turned = offsets @ torch.as_tensor(matrix, dtype=torch.float32).T
    half = torch.tensor([max(n - 1, 1) / 2 for n in box])
    return (turned / half).flip(-1)[None]


def vary_intensity(image: Tensor, variation: Variation) -> Tensor:
    """Change the intensities of a normalised patch (C, *patch)."""
    if variation.noise is not None:
        std, seed = variation.noise
        noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
        image = image + std * noise.to(image.device)
    if variation.blur_voxels is not None:
        image = _blur(image, variation.blur_voxels)
    if variation.brightness is not None:
        image = image * variation.brightness
    if variation.contrast is not None:
        image = _contrast(image, variation.contrast)
    if variation.low_resolution is not None:
        image = _low_resolution(image, variation.low_resolution)
    if variation.gamma is not None:
        image = _gamma(image, *variation.gamma)
    if variation.colour is not None:
        factors = torch.tensor(variation.colour).T.reshape(2, -1, *[1] * (image.ndim - 1))
        image = image * factors[0] + factors[1]
    return image


def _blur(image: Tensor, sigma_voxels: float) -> Tensor:
    """Gaussian blur, one axis after the other."""
    radius = max(1, round(3 * sigma_voxels))
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma_voxels) ** 2)
    kernel = kernel / kernel.sum()
    for axis in range(1, image.ndim):
        lines = image.movedim(axis, -1)
        flat = lines.reshape(-1, 1, lines.shape[-1])
        padded = nnf.pad(flat, (radius, radius), mode="replicate")
        image = nnf.conv1d(padded, kernel[None, None]).reshape(lines.shape).movedim(-1, axis)
    return image


def _contrast(image: Tensor, factor: float) -> Tensor:
    """Stretch about each channel's mean, inside its former range."""
    axes = tuple(range(1, image.ndim))
    mean = image.mean(axes, keepdim=True)
    return ((image - mean) * factor + mean).clamp(
        image.amin(axes, keepdim=True), image.amax(axes, keepdim=True)
    )


def _low_resolution(image: Tensor, share: float) -> Tensor:
    """Drop to a coarser grid and come back, as a scan with thicker voxels would look."""
    shape = image.shape[1:]
    small = [max(1, round(n * share)) for n in shape]
    mode = "trilinear" if len(shape) == 3 else "bilinear"
    return nnf.interpolate(nnf.interpolate(image[None], small, mode="nearest-exact"), shape, mode=mode)[0]


def _gamma(image: Tensor, exponent: float, inverted: bool) -> Tensor:
    """Bend intensities; mean and std of each channel stay as they were."""
    sign = -1.0 if inverted else 1.0
    axes = tuple(range(1, image.ndim))
    image = image * sign
    mean, std = image.mean(axes, keepdim=True), image.std(axes, keepdim=True)
    low = image.amin(axes, keepdim=True)
    span = (image.amax(axes, keepdim=True) - low).clamp_min(1e-6)
    bent = ((image - low) / span) ** exponent
    bent = (bent - bent.mean(axes, keepdim=True)) / bent.std(axes, keepdim=True).clamp_min(1e-6)
    return (bent * std + mean) * sign
