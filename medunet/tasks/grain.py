"""The grain of a scanner: fine noise that a small network learns last, laid over the scans that it makes.

A denoiser answers with what is likely, and that is smooth. What its scan lacks can be measured: at each fine
frequency and in each label, the power of a training scan of the same kind less that of the synthetic one.
Normal noise of that power is added, as video decoders add film grain (Norkin & Birkbeck, DCC 2018). Where
patches of the network show as a grid, its frequencies are first taken out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import gcd
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct, idct
from scipy.ndimage import gaussian_filter
from torch import Tensor

from medunet.metrics.quality.spectrum import grid_power, radial_power

PREFIX = "grain."  # of its numbers among a generator's weights: a sample is re-made from one file
EDGES = (0.3, 0.4, 0.5, 1.0)  # of the bands, in cycles per voxel; what is coarser is anatomy
PERIODS = (2, 4)  # voxels; coarser grids cannot be taken out without the anatomy
SPANNED, GRID = 99.0, 1.2  # a grid is the network's above so many times this percentile of the real scans
NOTCH = 0.05  # cycles per voxel on either side of a grid's frequency
BORDER_VOXELS = 1.0  # sigma over which the grain of a label goes over into that of the next
LEAST_VOXELS = 64  # of a label, to be measured; with fewer it has the grain of the whole image

Array = NDArray[np.float64]
Image = NDArray[np.float32]  # (C, *S)
Mask = NDArray[np.uint8]  # (*S)


@dataclass(frozen=True)
class Grain:
    """What the fine detail of training scans is like."""

    power: Array  # (cases, 1 + labels, C, bands): of the whole image, then of each label; NaN: too small
    mixing: Array  # (cases, C, C): makes independent noise as alike between channels as theirs
    codes: Array  # (cases, attributes): NaN where a fact is not known
    grids: Array  # (periods, 2): voxels, and the power at the grid over that beside it, that is still real

    @classmethod
    def measured(
        cls, images: Sequence[Image], masks: Sequence[Mask], codes: NDArray[Any], outputs: int, patch: int
    ) -> Grain:
        """Learn from training scans; labels are below `outputs`, the network folds `patch` voxels an edge."""
        pairs = list(zip(images, masks, strict=True))
        power = [[_power(i, m, label) for label in (None, *range(outputs))] for i, m in pairs]
        grids = []
        for period in PERIODS:
            peaks = [_grid(image, period) for image in images]
            if patch % period == 0 and not np.isnan(peaks).all():
                grids.append((period, GRID * np.nanpercentile(peaks, SPANNED)))
        mixing = np.stack([_mixing(image) for image in images])
        return cls(np.array(power), mixing, np.asarray(codes, float), np.reshape(grids, (-1, 2)))

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Grain | None:
        """Return what `state` has put among a generator's weights; None: nothing was."""
        if PREFIX + "power" not in weights:
            return None
        return cls(*(weights[PREFIX + field.name].numpy() for field in fields(cls)))

    def state(self) -> dict[str, Tensor]:
        """Return its numbers, to be kept with the weights."""
        return {
            PREFIX + field.name: torch.from_numpy(np.ascontiguousarray(getattr(self, field.name)))
            for field in fields(self)
        }

    def over(self, image: Image, mask: Mask, codes: NDArray[np.float32], seed: int) -> Image:
        """Return the image with the grain of a training scan with such codes (A,); the same for a seed."""
        random = np.random.default_rng(seed)
        case = self._case(codes, random)
        image = self._without_grid(image)
        noise = np.tensordot(self.mixing[case], random.normal(size=image.shape), 1)
        axes = range(1, image.ndim)
        waves, band = np.fft.rfftn(noise, axes=axes), _bands(mask.shape)
        labels = np.unique(mask)
        shares = [gaussian_filter((mask == label).astype(float), BORDER_VOXELS) for label in labels]
        total = sum(shares)
        out = image.astype(float)
        for label, share in zip(labels, shares, strict=True):
            gain = np.where(band < 0, 0.0, np.sqrt(self._lacking(case, image, mask, int(label)))[:, band])
            out += share / total * np.fft.irfftn(waves * gain, mask.shape, axes)
        return out.astype(np.float32)

    def _case(self, codes: NDArray[np.float32], random: np.random.Generator) -> int:
        """Draw one of the training scans that agree with most of the codes that are known of both."""
        differs = np.abs(self.codes - codes)
        alike = (differs < 1e-6).sum(1)
        return int(random.choice(np.flatnonzero(alike == alike.max())))

    def _lacking(self, case: int, image: Image, mask: Mask, label: int) -> Array:
        """Return the power (C, bands) that an image lacks in a label beside that training scan."""
        wanted, has = self.power[case, 1 + label], _power(image, mask, label)
        if np.isnan(wanted).any() or np.isnan(has).any():
            wanted, has = self.power[case, 0], _power(image, mask, None)
        return np.nan_to_num(np.maximum(wanted - has, 0.0))

    def _without_grid(self, image: Image) -> Image:
        """Return the image without the frequencies of the grids that it has, along each axis."""
        for period, most in self.grids:
            if _grid(image, int(period)) > most:
                image = _notched(image, int(period))
        return image


def _power(image: Image, mask: Mask, label: int | None) -> Array:
    """Return the power (C, bands) in a label, or in the whole image; NaN where the label is too small."""
    if label is not None and (mask == label).sum() < LEAST_VOXELS:
        return np.full((len(image), len(EDGES) - 1), np.nan)
    return np.stack([radial_power(channel[None], mask, label, edges=EDGES) for channel in image])


def _grid(image: Image, period: int) -> float:
    """Return the power at a grid over that beside it; NaN where the image is too small to tell."""
    peak, beside = grid_power(image, period)
    return peak / beside if beside > 0 else float("nan")


def _mixing(image: Image) -> Array:
    """Return the square root (C, C) of the correlation of fine detail between channels."""
    fine = np.stack([channel - gaussian_filter(channel, 1.0) for channel in image.astype(float)])
    fine = fine.reshape(len(image), -1)
    scale = fine.std(1)
    related = np.cov(fine / np.where(scale > 0, scale, 1)[:, None], bias=True).reshape(len(image), -1)
    np.fill_diagonal(related, 1.0)
    values, vectors = np.linalg.eigh(related)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T)


def _bands(shape: Sequence[int]) -> NDArray[np.int64]:
    """Return which of the bands each coefficient of `rfftn` is in; -1: coarser than all."""
    *slow, last = shape
    squares = [*(np.fft.fftfreq(n) ** 2 for n in slow), np.fft.rfftfreq(last) ** 2]
    radius = np.sqrt(sum(np.meshgrid(*squares, indexing="ij")))
    return np.asarray(np.digitize(radius, EDGES) - 1)


def _notched(image: Image, period: int) -> Image:
    """Return the image without the frequencies of a grid that no finer grid has, along each axis."""
    for axis, size in enumerate(image.shape[1:], 1):
        frequency = np.arange(size) / (2 * (size - 1))
        kept = np.ones(size)
        for multiple in range(1, period // 2 + 1):
            if gcd(multiple, period) == 1:
                away = np.clip(np.abs(frequency - multiple / period) / NOTCH, 0, 1)
                kept *= np.sin(np.pi / 2 * away) ** 2
        # Mirrored at the outermost voxels, the series keeps a grid in step and has no jump between sides.
        waves = dct(np.moveaxis(image, axis, -1), type=1) * kept
        image = np.moveaxis(idct(waves, type=1), -1, axis)
    return image.astype(np.float32)
