"""A live bar with ETA on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LEADS = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, one speaks
PLAIN_SECONDS = 10.0  # between two plain lines
SURE_SHARE = 0.01  # done since the first step; before, an estimate of the time left is a guess
console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=not LEADS)


def say(text: str) -> None:
    """Write one line for the user (standard error, so that standard output stays machine-readable)."""
    console.print(text, markup=False)


class Bar:
    """What a workflow moves on: `advance()` after each item, `note()` for what it is doing."""

    def __init__(self, what: str, total: float, live: Progress | None) -> None:
        """Start at nothing done."""
        self.what, self.total, self.done, self.text = what, total, 0.0, ""
        self._live = live
        self._task = live.add_task(what, total=total, note="") if live else None
        self._start = self._last = time.monotonic()
        self._first: tuple[float, float] | None = (
            None  # when counting began, and where: a resumed run's is not 0
        )

    def advance(self, by: float = 1.0) -> None:
        """Count `by` more items as done."""
        self.done += by
        self._first = self._first or (time.monotonic(), self.done)
        if self._live and self._task is not None:
            self._live.update(self._task, completed=self.done, note=self.text)
        elif time.monotonic() - self._last > PLAIN_SECONDS:
            self._plain()

    def note(self, text: str) -> None:
        """Show a word on what is happening, such as a case or a loss."""
        self.text = text

    def _plain(self) -> None:
        self._last = time.monotonic()
        share = self.done / self.total if self.total else 1.0
        spent = self._last - self._start
        say(f"{self.what}: {100 * share:3.0f} %  {spent:.0f} s spent, {self._left()}  {self.text}".rstrip())

    def _left(self) -> str:
        since, begun_at = self._first or (self._start, 0.0)
        done = self.done - begun_at
        if done <= SURE_SHARE * self.total:
            return "time left not known yet"
        return f"{(self._last - since) * (self.total - self.done) / done:.0f} s left"


@contextmanager
def progress(what: str, total: float) -> Iterator[Bar]:
    """Show the progress of `total` items (or seconds) until the block ends."""
    if not (LEADS and sys.stderr.isatty()):
        say(f"{what} ...")
        yield Bar(what, total, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(
        *columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=console
    ) as live:
        yield Bar(what, total, live)
