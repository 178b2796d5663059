"""What the admission gate asks of a synthetic case. Every default has its reason beside it."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, field_validator

from medunet.config.base import Record

CheckName = Literal["intensity", "spectrum", "plausibility", "novelty", "agreement", "duplicates", "memory"]
PRIVACY: tuple[CheckName, ...] = ("duplicates", "memory")  # cannot be switched off; nor can fold safety


class GateSettings(Record):
    """The limits of the gate. `checks: []` leaves the privacy checks alone: a study's arm "without gate".

    The limits of the privacy checks cannot be set so wide that these check nothing.
    """

    checks: tuple[CheckName, ...] = get_args(CheckName)

    intensity_z: float = Field(6.0, gt=0)  # robust sigmas of a label's statistics: the +-6 sigma of MAISI

    high_frequency: float = Field(2.0, gt=1)  # times beyond what 98 % of real pieces span, either way
    grid: float = Field(1.2, gt=1)  # times the real power at the period of a network that folds its pixels

    novelty: float = Field(1.0, ge=0)  # of the novelty that 99 % of real masks have beside each other

    agreement: float = Field(0.9, gt=0, le=1)  # of the segmenter's Dice on real cases as difficult as this
    agreement_least: float = Field(0.75, gt=0, le=1)  # as much is enough for the best of its difficulty ...
    best_share: float = Field(0.5, ge=0, le=1)  # ... of which so many are kept: hard ones must not die out
    bins: int = Field(3, ge=1, le=10)  # of difficulty; with more, a bin has too few real cases to compare
    ignored: float = Field(0.25, ge=0, lt=1)  # of the labelled voxels; what differs in more is no local fault

    duplicate: float = Field(
        0.95, gt=0, le=0.98
    )  # correlation of two samples; different people stay below 0.9

    memory_percentile: float = Field(0.25, ge=0.1, le=5)  # of unseen real cases; sets differ: at most 1 %
    planted: int = Field(600, ge=10)  # copies of a self-test: 99 % is then known to within a point

    membership_auc: float = Field(0.6, gt=0.5, le=0.75)  # above it members can be told: the card is red

    @field_validator("checks")
    @classmethod
    def _privacy_stays(cls, checks: tuple[CheckName, ...]) -> tuple[CheckName, ...]:
        """Put the checks in their order; those that protect patients are always among them."""
        return tuple(name for name in get_args(CheckName) if name in checks or name in PRIVACY)
