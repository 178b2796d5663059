"""studies: queue, work through and report many studies; a crash costs seconds, a bad study only itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from medunet.errors import ConfigError, MedunetError
from medunet.studies import engines
from medunet.studies.identity import short_id, without_identity
from medunet.studies.ledger import Ledger
from medunet.studies.model import Model
from medunet.studies.reader import Reader, ReadLimits
from medunet.studies.report import row_of
from medunet.studies.scan import Found, Left, folders_of, scan
from medunet.studies.settings import WorkSettings
from medunet.studies.task import Request
from medunet.studies.watch import Changes
from medunet.studies.writers import WRITERS
from medunet.workflows.progress import progress, say

SHOWN = 20  # reasons that are printed; the report has all
POLL_S = 0.5


@dataclass(frozen=True)
class Order:
    """What is to be made of every study: with which model, in which formats, where."""

    model: Model
    out: Path
    writers: tuple[str, ...] = ("nifti",)
    priority: int = 0

    def __post_init__(self) -> None:
        """Refuse formats that are not known."""
        if unknown := set(self.writers) - set(WRITERS):
            raise ConfigError(f"--format {', '.join(sorted(unknown))}: expected one of {', '.join(WRITERS)}.")

    def request(self, found: Found, refused: str = "") -> Request:
        """Return the request for one study."""
        return Request(
            study=found.study,
            content=found.content,
            images=found.images,
            model=str(self.model.run.path.resolve()),
            model_sha256=self.model.sha256,
            writers=self.writers,
            out=str(self.out.resolve()),
            options=self.model.options,
            refused=refused,
        )


def add(
    ledger: Ledger, paths: Sequence[Path], order: Order, limits: ReadLimits, *, quiet: bool = False
) -> dict[str, Any]:
    """Queue the studies behind some paths; what is known already, and our own results, are not queued."""
    if missing := [str(path) for path in paths if not path.exists()]:
        raise ConfigError(f"{', '.join(missing)}: no such file or folder. Give scans, or folders of them.")
    if any(path.is_dir() and order.out.resolve() == path.resolve() for path in paths):
        raise ConfigError(f"--out {order.out}: is the folder of the scans. Give another folder.")
    not_seen: list[Left] = []
    folders = list(folders_of(paths, [order.out], not_seen))
    with Reader(limits) as reader:
        watched = iter(folders) if quiet else _told(folders)
        found = scan(watched, reader, order.model.run.card.channels, paths)
    meant = [*not_seen, *(left for left in found.left if left.meant)]
    requests = [order.request(study) for study in found.studies]
    requests += [order.request(left.found, left.reason) for left in meant]
    new = set(ledger.add(requests, order.priority))
    refused = {left.found.study: left.reason for left in meant}
    for study, reason in list(refused.items())[:SHOWN]:
        say(f"refused {study}: {reason}")
    return {
        "studies": len(found.studies),
        "added": sum(request.key in new for request in requests if not request.refused),
        "known": len(requests) - len(new),
        "refused": refused,
        "skipped": [{"file": short_id(str(s.path)), "reason": s.reason} for s in found.left if not s.meant],
    }


def run(
    ledger: Ledger, settings: WorkSettings, engine: str, workers: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Work until nothing is queued; return what was done, failed and refused meanwhile."""
    ledger.expire()
    before = ledger.counts()
    total = ledger.unfinished()
    stopped = False
    with progress("Studies", total) as bar, _ending_on_signal():
        crew = engines.start(engine, settings, workers, ledger, options) if total else None
        try:
            while crew is not None and crew.tend():
                bar.advance(_closed(ledger.counts(), before) - bar.done)
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            stopped = True
            say("Ending: what is predicted is written, the rest stays queued ...")
        finally:
            if crew is not None:
                crew.end()
        bar.advance(_closed(ledger.counts(), before) - bar.done)
    after = ledger.counts()
    result = {state: after.get(state, 0) - before.get(state, 0) for state in ("done", "failed", "refused")}
    return {**result, "unfinished": ledger.unfinished(), "stopped": stopped, "reasons": _reasons(ledger)}


def watch(
    ledger: Ledger,
    changes: Changes,
    order: Order,
    settings: WorkSettings,
    *,
    engine: str = "local",
    workers: int = 1,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Queue what a source brings and work on it until SIGTERM or Ctrl-C.

    `stopped` is False where it ended by itself, because no worker could go on.
    """
    before = ledger.counts()
    stopped = False
    say("Watching; Ctrl-C ends ...")
    with _ending_on_signal():
        forever = settings.model_copy(update={"forever": True})
        crew = engines.start(engine, forever, workers, ledger, options or {})
        try:
            told, due = "", 0.0
            while crew.tend():
                if time.monotonic() >= due:
                    told = _looked(ledger, changes, order, settings.read_limits, told)
                    due = time.monotonic() + changes.every_s
                time.sleep(settings.poll_s)
        except KeyboardInterrupt:
            stopped = True
            say("Ending: what is predicted is written, the rest stays queued ...")
        finally:
            crew.end()
    after = ledger.counts()
    result = {state: after.get(state, 0) - before.get(state, 0) for state in ("done", "failed", "refused")}
    return {**result, "stopped": stopped}


def look(ledger: Ledger, changes: Changes, order: Order, limits: ReadLimits) -> int:
    """Queue what is new in a source; the cursor moves only after that. Return how many studies it was."""
    known = ledger.cursor(changes.name)
    added = 0
    for cursor, paths in changes.since(known):
        if paths:
            told = add(ledger, paths, order, limits, quiet=True)
            added += told["added"]
            say(f"queued {told['added']} of {told['studies']} studies")
        if cursor != known:
            ledger.set_cursor(changes.name, cursor)
            known = cursor
    return added


def _looked(ledger: Ledger, changes: Changes, order: Order, limits: ReadLimits, told: str) -> str:
    """Look, and go on if the source is away: told once, tried again. Return what was told."""
    try:
        look(ledger, changes, order, limits)
    except (MedunetError, OSError) as error:
        reason = without_identity(str(error))  # files of patients come and go while it looks
        if told != reason:
            say(f"not looked, tried again: {reason}")
        return reason
    return ""


def status(ledger: Ledger) -> dict[str, Any]:
    """Return counts, and what is worked on now."""
    ledger.expire()
    running = [
        {"study": task["name"], "attempts": task["attempts"], "since": task["started"]}
        for task in ledger.rows(state="running")
    ]
    return {"counts": ledger.counts(), "unfinished": ledger.unfinished(), "running": running}


def report(ledger: Ledger, *, by: str = "risk", paths: bool = False) -> list[dict[str, Any]]:
    """Return one row a study, the riskiest first."""
    return [row_of(task, paths=paths) for task in ledger.rows(by=by)]


def _told(folders: Sequence[list[Path]]) -> Iterator[list[Path]]:
    with progress("Looking", len(folders)) as bar:
        for files in folders:
            yield files
            bar.advance()


def _closed(now: Mapping[str, int], before: Mapping[str, int]) -> int:
    return sum(now.get(state, 0) - before.get(state, 0) for state in ("done", "failed", "refused"))


def _reasons(ledger: Ledger) -> dict[str, str]:
    """Return why studies are not done, and print the first of them."""
    rows = [*ledger.rows(state="failed"), *ledger.rows(state="refused")]
    reasons = {row["name"]: f"{row['state']}: {row['reason']}" for row in rows}
    for name, reason in list(reasons.items())[:SHOWN]:
        say(f"{name} {reason}")
    if len(reasons) > SHOWN:
        say(f"... and {len(reasons) - SHOWN} more: medunet studies report")
    return reasons


@contextmanager
def _ending_on_signal() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
