"""A queue of things to send somewhere slow or away, emptied by one background thread.

What is put in never blocks and never raises; order is kept. While the other side is away the thread tries
again, less and less often. Curves are bounded: the newest points are dropped and counted when they pile up.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Any, Literal

Outcome = Literal["sent", "refused", "away"]
CURVE_LIMIT = 20_000  # points; a few MB
ROW_LIMIT = 100  # entries sent together
FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
LAST_TRIES = 2  # after the close: someone waits for us now


@dataclass(frozen=True)
class Curve:
    """Numbers of one step, with the time in ms since 1970 at which they were reported."""

    step: int
    time_ms: int
    values: dict[str, float]


@dataclass
class Outbox:
    """`send(entries)` gets the oldest entry, or a row of curve points."""

    send: Callable[[list[Any]], Outcome]
    name: str = "outbox"
    dropped: int = 0  # entries that found no room or came too late
    _entries: deque[Any] = field(default_factory=deque)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _closing: bool = False
    _abandoned: bool = False
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread; it ends with the process at the latest."""
        self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
        self._thread.start()

    def put(self, entry: Any) -> None:
        """Queue an entry; after the close, or when curves pile up, it is dropped."""
        with self._news:
            if self._closing or (isinstance(entry, Curve) and len(self._entries) >= CURVE_LIMIT):
                self.dropped += 1
                return
            self._entries.append(entry)
            self._news.notify_all()

    def close(self, timeout_s: float) -> int:
        """Wait until all is sent, at most `timeout_s`; return how many entries never were."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join(timeout_s)
        with self._news:
            self._abandoned = True
            self._news.notify_all()
            return len(self._entries) + self.dropped

    def _work(self) -> None:
        retry_s, last_tries = FIRST_RETRY_S, LAST_TRIES
        while entries := self._oldest():
            if self.send(entries) != "away":
                self._forget(len(entries))
                retry_s = FIRST_RETRY_S
                continue
            last_tries -= self._closing
            if last_tries <= 0:
                return
            self._pause(min(retry_s, FIRST_RETRY_S) if self._closing else retry_s)
            retry_s = min(2 * retry_s, LONGEST_RETRY_S)

    def _oldest(self) -> list[Any]:
        """Wait for entries; nothing when closed and empty, or abandoned."""
        with self._news:
            self._news.wait_for(lambda: self._entries or self._closing)
            if self._abandoned or not self._entries:
                return []
            first, *others = islice(self._entries, ROW_LIMIT)
            if not isinstance(first, Curve):
                return [first]
            return [first, *takewhile(lambda entry: isinstance(entry, Curve), others)]

    def _forget(self, count: int) -> None:
        with self._news:
            for _ in range(count):
                self._entries.popleft()

    def _pause(self, seconds: float) -> None:
        with self._news:
            closing = self._closing
            self._news.wait_for(lambda: self._abandoned or self._closing != closing, seconds)
