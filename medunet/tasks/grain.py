"""The grain of a scanner: fine noise that a small network learns last, measured and laid over what it makes.

A denoiser answers with what is likely, and that is smooth. What its scans lack can be measured in seconds: at
each fine frequency and in each label, the power of real training scans less that of synthetic ones for the
same masks. Normal noise of that power is added, as video decoders add film grain (Norkin & Birkbeck, DCC
2018). Where patches of a network show as a grid, its frequencies are first taken out. A network that lacks
nothing is given nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct, idct
from scipy.ndimage import gaussian_filter
from torch import Tensor

from medunet.metrics.quality.spectrum import grid_ratio, radial_power

PREFIX = "grain."  # of its numbers among a generator's weights: a sample is re-made from one file
EDGES = (0.3, 0.4, 0.5, 1.0)  # of the bands, in cycles per voxel; what is coarser is anatomy
PERIODS = (2, 4)  # voxels; coarser grids cannot be taken out without the anatomy
GRID = 1.2  # times the real power at the frequencies of a grid: as the gate has it
NOTCH = 0.05  # cycles per voxel on either side of a grid's frequency
BORDER_VOXELS = 1.0  # sigma over which the grain of a label goes over into that of the next
LEAST_VOXELS, LEAST_CASES = 64, 4  # of a label, to be measured; else it has the grain of the whole image

Image = NDArray[np.float32]  # (C, *S)
Mask = NDArray[np.uint8]  # (*S)


@dataclass(frozen=True)
class Grain:
    """Power (labels, channels, bands) of the noise to add, and periods of the grids to take out."""

    power: NDArray[np.float64]
    periods: tuple[int, ...]

    @classmethod
    def measured(
        cls, real: Sequence[Image], synthetic: Sequence[Image], masks: Sequence[Mask], outputs: int
    ) -> Grain:
        """Return what synthetic scans lack beside the real ones of the same masks (labels < `outputs`)."""
        periods = tuple(p for p in PERIODS if grid_ratio(synthetic, p) > GRID * grid_ratio(real, p))
        bare = cls(np.empty(0), periods)
        synthetic = [bare._without_grid(image) for image in synthetic]
        pairs = list(zip(real, synthetic, masks, strict=True))
        power = np.empty((outputs, len(real[0]), len(EDGES) - 1))
        for label in range(outputs):
            known = [pair for pair in pairs if (pair[2] == label).sum() >= LEAST_VOXELS]
            enough = len(known) >= LEAST_CASES
            power[label] = _lacking(known, label) if enough else _lacking(pairs, None)
        return replace(bare, power=power)

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Grain | None:
        """Return what `state` has put among a generator's weights; None: nothing was."""
        if PREFIX + "power" not in weights:
            return None
        periods = weights[PREFIX + "periods"].tolist()
        return cls(weights[PREFIX + "power"].double().numpy(), tuple(int(p) for p in periods))

    def state(self) -> dict[str, Tensor]:
        """Return its numbers, to be kept with the weights."""
        periods = torch.tensor(self.periods, dtype=torch.int64)
        return {PREFIX + "power": torch.from_numpy(self.power), PREFIX + "periods": periods}

    def over(self, image: Image, mask: Mask, seed: int) -> Image:
        """Return the image with grain, the same for a seed."""
        axes = range(1, image.ndim)
        waves = np.fft.rfftn(np.random.default_rng(seed).normal(size=image.shape), axes=axes)
        *slow, last = mask.shape
        squares = [*(np.fft.fftfreq(n) ** 2 for n in slow), np.fft.rfftfreq(last) ** 2]
        band = np.digitize(np.sqrt(sum(np.meshgrid(*squares, indexing="ij"))), EDGES) - 1
        labels = np.unique(mask)
        shares = [gaussian_filter((mask == label).astype(float), BORDER_VOXELS) for label in labels]
        total = sum(shares)
        out = self._without_grid(image).astype(float)
        for label, share in zip(labels, shares, strict=True):
            gain = np.where(band < 0, 0.0, np.sqrt(self.power[label])[:, band])
            out += share / total * np.fft.irfftn(waves * gain, mask.shape, axes)
        return out.astype(np.float32)

    def _without_grid(self, image: Image) -> Image:
        """Return the image without the frequencies of the grids, along each axis."""
        for axis, size in enumerate(image.shape[1:] if self.periods else (), 1):
            frequency = np.arange(size) / (2 * (size - 1))
            kept = np.ones(size)
            for period in self.periods:
                for multiple in range(1, period // 2 + 1):
                    if gcd(multiple, period) == 1:
                        away = np.clip(np.abs(frequency - multiple / period) / NOTCH, 0, 1)
                        kept *= np.sin(np.pi / 2 * away) ** 2
            # Mirrored at the outermost voxels, the series keeps a grid in step and has no jump between sides.
            waves = dct(np.moveaxis(image, axis, -1), type=1) * kept
            image = np.moveaxis(idct(waves, type=1), -1, axis)
        return image.astype(np.float32)


def _lacking(pairs: Sequence[tuple[Image, Image, Mask]], label: int | None) -> NDArray[np.float64]:
    """Return the power (channels, bands) that synthetic scans lack in a label, or in the whole image."""
    powers = [
        [[radial_power(channel[None], mask, label, edges=EDGES) for channel in scan] for scan in (real, made)]
        for real, made, mask in pairs
    ]
    has, made = np.nanmedian(powers, axis=0)
    return np.nan_to_num(np.maximum(has - made, 0.0))
