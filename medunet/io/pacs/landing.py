"""Where instances from a PACS land: under hashed names, whole or not at all, within limits, unread."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from medunet.errors import StudyError
from medunet.io.pacs.filemeta import read_meta
from medunet.io.pacs.records import Limits, hashed

Piece = bytes | bytearray | memoryview


class Landing:
    """The folder of one fetch. Several threads may add to it; `files` is what arrived."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        """Make the folder where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.limits = limits
        self.refusal: StudyError | None = None  # set once a limit was passed: nothing more is taken
        self._files: set[Path] = set()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def files(self) -> list[Path]:
        """What arrived whole, in the order of the names."""
        with self._lock:
            return sorted(self._files)

    def add(self, pieces: Iterable[Piece], uid: str | None = None) -> Path:
        """Write one instance and return its file, named after uid, or else after that of its file meta.

        Raises StudyError beyond a limit, DataError for what is no DICOM file, OSError for a disk that fails.
        """
        with self._part() as (stream, part):
            size = 0
            for piece in pieces:
                size += len(piece)
                self._check(size <= self.limits.instance_bytes, "an instance", self.limits.instance_bytes)
                self._count(len(piece))
                stream.write(piece)
            stream.flush()
            path = self.folder / f"{hashed(uid or read_meta(part).uid)}.dcm"
            with self._lock:
                number = len(self._files | {path})
            self._check(number <= self.limits.instances, "the study", self.limits.instances, "instances")
            part.replace(path)
            with self._lock:
                self._files.add(path)
        return path

    @contextmanager
    def _part(self) -> Iterator[tuple[BinaryIO, Path]]:
        handle, name = tempfile.mkstemp(prefix=".part-", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream, Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def _count(self, size: int) -> None:
        with self._lock:
            self._bytes += size
        self._check(self._bytes <= self.limits.study_bytes, "the study", self.limits.study_bytes)

    def excess(self) -> None:
        """Take nothing more: an instance is too large."""
        self._refuse("an instance", self.limits.instance_bytes)

    def _check(self, kept: bool, what: str, most: int, unit: str = "bytes") -> None:
        if not kept:
            self._refuse(what, most, unit)
        if self.refusal:
            raise self.refusal

    def _refuse(self, what: str, most: int, unit: str = "bytes") -> None:
        self.refusal = self.refusal or StudyError(
            f"fetch refused: {what} has more than {most} {unit}; fetch fewer series, or raise the limit"
        )
