"""Noise prediction with an L2 loss, the objective of DDPM (Ho 2020, equation 14)."""

from __future__ import annotations

from typing import Literal

import torch

from medunet.diffusion import variance_preserving
from medunet.diffusion.process import Mix, Times
from medunet.diffusion.variance_preserving import VariancePreserving, snr_capped

LOWEST_LOG_SNR = -5.1  # log(alpha / sigma); where the linear schedule of Ho 2020 ends


class Options(variance_preserving.Options):
    """As of all variance-preserving objectives; the schedule is that of the paper."""

    schedule: Literal["cosine", "linear"] = "linear"


class NoisePrediction(VariancePreserving):
    """target = noise."""

    @property
    def first(self) -> int:
        """Return the last step at which a clean image can be told from the noise.

        It is (z - sigma noise) / alpha, and the cosine schedule ends at alpha = 5e-5: there the network's
        error would be enlarged 20,000 times, unless it is clipped. At the limit z holds 0.6 % of the image.
        """
        if self.options.schedule == "linear" or self.options.clip is not None:
            return super().first
        alpha, sigma = self._table[:, 1:]
        return int(((alpha / sigma).log() >= LOWEST_LOG_SNR).sum())

    def target(self, level: Mix) -> Mix:
        """Return noise alone."""
        return Mix(torch.zeros_like(level.clean), torch.ones_like(level.noise))

    def weight(self, level: Mix) -> Times:
        """Return min(SNR, cap) / SNR (Hang 2023, equation 8), or 1."""
        if self.options.min_snr is None:
            return super().weight(level)
        capped, snr = snr_capped(level, self.options.min_snr)
        return capped / snr


def build(options: Options) -> NoisePrediction:
    """Return the objective."""
    return NoisePrediction(options)
