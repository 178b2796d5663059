"""What one worker holds: bounded in bytes, each study with its stage and since when."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from medunet.studies.task import Task


@dataclass
class Held:
    """One study in this worker."""

    task: Task
    stage: str = "read"
    since: float = field(default_factory=time.monotonic)
    bytes: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


class Holding:
    """All studies of a worker. Threads wait here for room, or for the others to be done."""

    def __init__(self, limit_bytes: float) -> None:
        """Hold nothing yet."""
        self.limit_bytes = limit_bytes
        self._held: dict[str, Held] = {}
        self._news = threading.Condition()

    def add(self, task: Task) -> Held:
        """Begin a study."""
        with self._news:
            self._held[task.key] = held = Held(task)
            return held

    def stage(self, held: Held, stage: str) -> None:
        """Move a study on; the time in the old stage is noted."""
        with self._news:
            now = time.monotonic()
            held.seconds[held.stage] = round(held.seconds.get(held.stage, 0.0) + now - held.since, 3)
            held.stage, held.since = stage, now

    def remove(self, key: str) -> None:
        """End a study."""
        with self._news:
            self._held.pop(key, None)
            self._news.notify_all()

    def now(self) -> list[Held]:
        """Return what is held."""
        with self._news:
            return list(self._held.values())

    def wait_for_room(self, held: Held, needed: int, stop: threading.Event) -> bool:
        """Wait until `needed` bytes fit, or the study is alone; False if the worker is to stop."""

        def fits() -> bool:
            used = sum(other.bytes for other in self._held.values() if other is not held)
            return stop.is_set() or used == 0 or used + needed <= self.limit_bytes

        with self._news:
            self._news.wait_for(fits)
            held.bytes = needed
        return not stop.is_set()

    def wait_for_few(self, most: int, stop: threading.Event) -> None:
        """Wait until fewer than `most` studies are held, or the worker is to stop."""
        with self._news:
            self._news.wait_for(lambda: stop.is_set() or len(self._held) < most)

    def wait_until_alone(self, key: str | None, stop: threading.Event) -> bool:
        """Wait until no other study is held; False if the worker is to stop."""
        with self._news:
            self._news.wait_for(lambda: stop.is_set() or not set(self._held) - {key})
        return not stop.is_set()

    def wake(self) -> None:
        """Let all waiting threads look again."""
        with self._news:
            self._news.notify_all()
