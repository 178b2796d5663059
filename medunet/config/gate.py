"""What the admission gate asks of a synthetic case. Every default has its reason beside it."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator

from medunet.config.base import Record

CheckName = Literal[
    "intensity",
    "spectrum",
    "plausibility",
    "novelty",
    "agreement",
    "duplicates",
    "memory",
]
PRIVACY: tuple[CheckName, ...] = ("duplicates", "memory")  # cannot be switched off; nor can fold safety


class GateSettings(Record):
    """The limits of the gate. `checks: []` leaves the privacy checks alone: a study's arm "without gate"."""

    checks: tuple[CheckName, ...] = get_args(CheckName)

    intensity_z: float = Field(6.0, gt=0)  # robust sigmas of a label's statistics; MAISI keeps +-6
    intensity_ks: float = Field(0.5, gt=0, le=1)  # of distributions; real cases of one set are mostly below

    high_frequency: float = Field(2.0, gt=1)  # power syn/real, either way: specks above, over-smooth below
    grid_power: float = Field(1.2, gt=1)  # at the period of the patches that the network folds; real is 1

    novelty_percentile: float = Field(1.0, ge=0, le=50)  # a mask as near to training as 1 % of real pairs

    agreement: float = Field(0.9, gt=0, le=1)  # of the segmenter's Dice on unseen real cases
    ignored: float = Field(0.05, ge=0, lt=1)  # share of voxels that may be ignored before the case goes
    keep_easiest: float = Field(0.9, gt=0, le=1)  # of each difficulty bin, at most: the rest is its worst
    bins: int = Field(3, ge=1, le=10)  # of difficulty: thirds, since a set has hundreds of samples

    duplicate_correlation: float = Field(0.97, gt=0, le=1)  # of images after alignment: noise still differs

    memory_percentile: float = Field(0.5, ge=0, le=5)  # of unseen real: half of the 1 % that may be wrong
    planted: int = Field(600, ge=10)  # copies of the self-test: 99 % is then known to +-1 %

    membership_auc: float = Field(0.6, gt=0.5, le=1)  # above, the privacy card is red: members can be told

    @field_validator("checks")
    @classmethod
    def _privacy_stays(cls, checks: tuple[CheckName, ...]) -> tuple[CheckName, ...]:
        """Put the checks in their order; those that protect patients are always among them."""
        return tuple(name for name in get_args(CheckName) if name in checks or name in PRIVACY)
