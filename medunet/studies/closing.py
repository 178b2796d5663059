"""How studies end: done, or with a reason; and who is at fault where a step fails."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medunet.errors import ConfigError, MedunetError
from medunet.studies.held import Holding
from medunet.studies.identity import without_identity
from medunet.studies.ledger import Ledger
from medunet.studies.log import note
from medunet.studies.reader import ReadingDiedError
from medunet.studies.task import State, Task

# What is wrong with a disk, not with a study: files of studies are opened elsewhere, in the reading process.
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE}


class MachineError(ConfigError):
    """This machine cannot go on, whatever the study; it is left to others."""


class Closing:
    """The words of one worker to the ledger and the logs about studies that it holds."""

    def __init__(self, ledger: Ledger, owner: str, logs: Path, holding: Holding) -> None:
        """Speak for `owner`."""
        self.ledger, self.owner, self.logs, self.holding = ledger, owner, logs, holding

    def note(self, task: Task, text: str) -> None:
        """Write a line into the study's log."""
        note(self.logs, task.name, text)

    def finish(
        self,
        task: Task,
        state: State,
        *,
        reason: str = "",
        result: Mapping[str, Any] | None = None,
        seconds: Mapping[str, float] | None = None,
    ) -> None:
        """Close a study in the ledger, unless its lease had ended: then it is another worker's."""
        kept = None if result is None else {**result, "seconds": dict(seconds or {})}
        risk = None if result is None else float(result["risk"])
        held = self.ledger.finish(task.key, self.owner, state, reason=reason, risk=risk, result=kept)
        self.note(task, f"{state} {reason}" if held else f"{state}, but the lease had ended: left to others")
        self.holding.remove(task.key)

    @contextmanager
    def answering_for(self, task: Task, stopping: Callable[[], bool]) -> Iterator[None]:
        """Close a study that fails, and go on; MachineError if it was the machine that failed."""
        try:
            yield
        except MedunetError as error:
            _raise_if_it_was_the_disk(error.__cause__, str(error))
            died = isinstance(error, ReadingDiedError)
            if died and stopping():  # we ended the reading ourselves: the study is given back
                return
            state: State = "failed" if died or isinstance(error, ConfigError) else "refused"
            self._fail(task, state, str(error))
        except MemoryError:
            self._fail(task, "failed", "the memory is full")
        except Exception as error:  # noqa: BLE001  one study must not end the batch
            _raise_if_it_was_the_disk(error, f"a result cannot be written ({error})")
            self._fail(task, "failed", brief(error))

    def _fail(self, task: Task, state: State, reason: str) -> None:
        self.finish(task, state, reason=without_identity(reason, task.request.all_paths()))


def brief(error: BaseException) -> str:
    """Return an unexpected error without its message, which may name a patient."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"unexpected {type(error).__name__}{place}"


def _raise_if_it_was_the_disk(error: BaseException | None, said: str) -> None:
    if isinstance(error, OSError) and error.errno in DISK:
        raise MachineError(said) from error
