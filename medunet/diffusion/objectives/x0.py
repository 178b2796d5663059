"""Prediction of the clean image itself (Ho 2020, section 3.2, where it is the alternative to the noise)."""

from __future__ import annotations

import torch

from medunet.diffusion.process import Estimate, Images, Mix, Times
from medunet.diffusion.variance_preserving import Options, VariancePreserving, snr_capped

__all__ = ["CleanPrediction", "Options", "build"]


class CleanPrediction(VariancePreserving):
    """target = clean."""

    def target(self, level: Mix) -> Mix:
        """Return clean alone."""
        return Mix(torch.ones_like(level.clean), torch.zeros_like(level.noise))

    def weight(self, level: Mix) -> Times:
        """Return min(SNR, cap) (Hang 2023, equation 6), or 1."""
        if self.options.min_snr is None:
            return super().weight(level)
        return snr_capped(level, self.options.min_snr)[0]

    def estimate(self, output: Images, z: Images, t: Times) -> Estimate:
        """Return the answer itself, clipped if so wished, and the noise that goes with it."""
        clean, clip = output.to(z.dtype), self.options.clip
        return self.completed(clean if clip is None else clean.clamp(-clip, clip), z, t)


def build(options: Options) -> CleanPrediction:
    """Return the objective."""
    return CleanPrediction(options)
