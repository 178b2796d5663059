"""How a worker works; travels to other processes and machines as JSON."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from medunet.config.base import Record
from medunet.studies.reader import ReadLimits


class WorkSettings(Record):
    """Everything a worker needs besides its tasks, which the ledger gives it."""

    ledger: str
    logs: str  # folder of the per-study logs
    device: str | None = None
    forever: bool = False  # wait for more studies when all are done
    lease_s: float = Field(60.0, gt=0)  # a dead worker's studies are free after so long
    poll_s: float = Field(1.0, gt=0)
    read_gb: float = Field(8.0, gt=0)  # address space of the reading process
    read_s: float = Field(300.0, gt=0)
    study_s: float = Field(3600.0, gt=0)  # longest time in one stage; then the worker starts anew
    held_gb: float = Field(4.0, gt=0)  # voxels of all studies that are between reading and written
    max_attempts: int = Field(3, ge=1)
    parent: int | None = None  # process to end with
    number: int = 0  # among the workers of a machine: which GPU it takes

    @property
    def read_limits(self) -> ReadLimits:
        """The limits of the reading process."""
        return ReadLimits(self.read_gb, self.read_s)

    @property
    def log_folder(self) -> Path:
        """The folder of the per-study logs."""
        return Path(self.logs)
