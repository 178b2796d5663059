"""What was measured of each sample, remembered so that an admission goes on where it stopped."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from medunet.config.base import Record
from medunet.config.samples import Check
from medunet.gate.agreement import Agreement
from medunet.workflows.synthetic_pair import append_line


class Agreed(Record):
    """The agreement of a segmenter with a sample; the voxel weights lie in a file."""

    dice: tuple[float | None, ...]
    ignored: float
    share: float

    @classmethod
    def of(cls, found: Agreement) -> Agreed:
        """Return what is kept of an agreement."""
        dice = tuple(None if np.isnan(value) else float(value) for value in found.dice)
        return cls(dice=dice, ignored=found.ignored, share=found.share)

    def back(self) -> Agreement:
        """Return the agreement without its weights."""
        dice = np.array([np.nan if value is None else value for value in self.dice])
        return Agreement(dice, self.ignored, None, self.share)


class Measured(Record):
    """One sample by itself; what needs the others (duplicates, bins of difficulty) is decided at the end."""

    case: str
    image_sha256: str
    mask_sha256: str
    weights_sha256: str | None = None
    checks: tuple[Check, ...]
    distance: float  # to the nearest training case; 1 is the least that is allowed
    share: float  # labelled voxels over all
    agreement: Agreed | None = None


@dataclass
class Notebook:
    """The lines of an admission; each has a code that only the workspace's key makes (HMAC-SHA256)."""

    place: Path
    gate: str
    key: bytes
    known: dict[str, Measured] = field(default_factory=dict)

    @classmethod
    def open(cls, place: Path, gate: str, key: bytes) -> Notebook:
        """Read the lines that hold for this gate; those of other settings are dropped from the file."""
        book = cls(place, gate, key)
        lines = place.read_bytes().splitlines() if place.is_file() else []
        kept = [line for line in lines if book._read(line)]
        if len(kept) < len(lines):
            place.write_bytes(b"".join(line + b"\n" for line in kept))
        return book

    def add(self, measured: Measured) -> None:
        """Remember a sample; the line is on the disk when this returns."""
        self.known[measured.case] = measured
        values = measured.model_dump(mode="json")
        append_line(self.place, json.dumps({"code": self._code(values), "measured": values}))

    def _read(self, line: bytes) -> bool:
        try:
            found = json.loads(line)
            measured = Measured.model_validate(found["measured"])
        except (ValueError, KeyError, TypeError, ValidationError):
            return False
        if not hmac.compare_digest(str(found.get("code")), self._code(found["measured"])):
            return False
        self.known[measured.case] = measured
        return True

    def _code(self, values: dict[str, Any]) -> str:
        text = json.dumps([self.gate, values], sort_keys=True)
        return hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()
