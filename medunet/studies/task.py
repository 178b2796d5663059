"""What is asked for: one study, one model, one way of writing. A task is that in the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field

from medunet.config.base import Record
from medunet.io.dicom.geometry import Irregular
from medunet.studies.identity import sha256_of, short_id

State = Literal["queued", "running", "done", "failed", "refused"]
OPEN: tuple[State, ...] = ("queued", "running")


class Image(Record):
    """One image of a study: a file, or the slices of one DICOM series."""

    id: str  # hashed
    folder: str
    files: tuple[str, ...]  # names in the folder, or absolute paths where they lie elsewhere
    dicom: bool
    part: str = ""  # which volume of the files, where they hold several

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files."""
        return tuple(Path(self.folder, name) for name in self.files)


class Options(Record):
    """What decides a mask besides the study and the weights."""

    folds: tuple[int, ...] | None = None  # None: all that are trained
    mirror: bool | None = None  # None: as the recipe says
    irregular: Irregular = "error"
    budget_s: float | None = Field(None, gt=0)  # for each study


class Request(Record):
    """One study for one model. `content` is a hash of what the scanner made, wherever it lies."""

    study: str  # hashed id
    content: str
    images: tuple[Image, ...]
    model: str  # the run folder
    model_sha256: str
    writers: tuple[str, ...]
    out: str
    options: Options = Options()
    refused: str = ""  # why it cannot be processed, where that is known already

    @cached_property
    def identity(self) -> str:
        """The hash of all that decides the result: study, model and options, but not where it goes."""
        options = self.options.model_dump_json()
        return sha256_of(self.study, self.content, self.model_sha256, *self.writers, options)

    @cached_property
    def key(self) -> str:
        """The hash of the task: the same study, model and options for the same folder are one task."""
        return sha256_of(self.identity, self.out)

    @property
    def name(self) -> str:
        """The folder of the results."""
        return f"{self.study}-{short_id(self.identity)[:8]}"

    def all_paths(self) -> Iterator[Path]:
        """Every input file."""
        for image in self.images:
            yield from image.paths


@dataclass(frozen=True)
class Task:
    """A request as the ledger handed it to a worker."""

    key: str
    attempts: int  # this one included
    request: Request

    @property
    def name(self) -> str:
        """The folder of the results, which is also the name in logs and tables."""
        return self.request.name
