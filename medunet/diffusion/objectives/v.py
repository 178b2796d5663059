"""Velocity prediction (Salimans & Ho 2022, appendix D): usable at every level of noise."""

from __future__ import annotations

from medunet.diffusion.process import Mix, Times
from medunet.diffusion.variance_preserving import Options, VariancePreserving, snr_capped

__all__ = ["Options", "VelocityPrediction", "build"]


class VelocityPrediction(VariancePreserving):
    """target = alpha noise - sigma clean."""

    def target(self, level: Mix) -> Mix:
        """Return the mixture at right angles to z."""
        return Mix(-level.noise, level.clean)

    def weight(self, level: Mix) -> Times:
        """Return min(SNR, cap) / (SNR + 1), the weights of Hang 2023 for this target, or 1."""
        if self.options.min_snr is None:
            return super().weight(level)
        capped, snr = snr_capped(level, self.options.min_snr)
        return capped / (snr + 1)


def build(options: Options) -> VelocityPrediction:
    """Return the objective."""
    return VelocityPrediction(options)
