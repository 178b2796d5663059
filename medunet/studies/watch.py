"""Sources that keep bringing studies: a folder here; a PACS with a cursor fits the same protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from medunet.studies.identity import sha256_of
from medunet.studies.scan import Left, folders_of

STABLE_S = 30.0  # a folder that did not change for so long is whole
Step = tuple[str, Sequence[Path]]  # a cursor, to be kept once what lies at the paths is queued


class Changes(Protocol):
    """A source that can say what is new since a cursor.

    Studies may be told again, for instance after a crash: the ledger knows them. What is told must be whole,
    and never be something that medunet has sent there itself.
    """

    @property
    def name(self) -> str:
        """Where the cursor is kept in the ledger."""
        ...

    @property
    def every_s(self) -> float:
        """How long to wait between two looks, at least."""
        ...

    def since(self, cursor: str | None) -> Iterator[Step]:
        """Yield what is new: a step for what arrived together; one without paths moves the cursor only."""
        ...


@dataclass
class FolderChanges:
    """What lies directly in a folder: each folder there, and all loose files together.

    It is told when nothing in it has changed for `stable_s` seconds. The cursor holds what was told.
    """

    folder: Path
    stable_s: float = STABLE_S
    leave_out: Sequence[Path] = ()
    clock: Callable[[], float] = time.monotonic
    every_s: float = 0.0
    _seen: dict[str, tuple[str, float]] = field(default_factory=dict)  # entry -> mark, since when

    @property
    def name(self) -> str:
        """Where the cursor is kept in the ledger."""
        return f"folder {sha256_of(str(self.folder.resolve()))[:32]}"

    def since(self, cursor: str | None) -> Iterator[Step]:
        """Yield what has become stable."""
        now, there = self.clock(), dict(self._marks())
        told = {entry: mark for entry, mark in json.loads(cursor or "{}").items() if entry in there}
        yield json.dumps(told), ()
        for entry, (mark, paths) in there.items():
            if self._seen.get(entry, ("", 0.0))[0] != mark:
                self._seen[entry] = (mark, now)
            if told.get(entry) != mark and now - self._seen[entry][1] >= self.stable_s:
                told[entry] = mark
                yield json.dumps(told), paths

    def _marks(self) -> Iterator[tuple[str, tuple[str, list[Path]]]]:
        """Yield (entry, (mark, paths)): a mark changes with any name, size or time below it."""
        entries = sorted(p for p in self.folder.iterdir() if not p.name.startswith("."))
        groups = [[p] for p in entries if p.is_dir()] + [[p for p in entries if p.is_file()]]
        for paths in groups:
            left: list[Left] = []
            files = [file for files in folders_of(paths, self.leave_out, left) for file in files]
            files += [entry.path for entry in left]  # to be told as well
            if files:
                loose = not paths[0].is_dir()
                yield "" if loose else sha256_of(paths[0].name)[:32], (_mark(files), paths)


def _mark(files: Sequence[Path]) -> str:
    lines = []
    for file in files:
        try:
            about = file.stat()
        except OSError:  # gone between listing and looking, or closed to us
            lines.append(str(file))
            continue
        lines.append(f"{file} {about.st_size} {about.st_mtime_ns}")
    return sha256_of(*lines)[:32]
