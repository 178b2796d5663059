"""What a writer of results may want to know of a study, besides its volume and mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medunet.config.card import Card


@dataclass(frozen=True)
class Study:
    """One study. `series` are the files that were read."""

    name: str  # hashed; the folder of the results
    identity: str  # hash of study, model and options: what UIDs of results follow from
    series: tuple[tuple[Path, ...], ...]  # per channel
    dicom: bool
    card: Card
    model: Mapping[str, Any]
    model_sha256: str
    options: str  # that decide the mask, besides the model
    volume_ml: Mapping[str, float]  # per label name
    flags: Sequence[Mapping[str, Any]]
