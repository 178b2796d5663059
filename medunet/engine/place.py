"""Where a run is tracked, how it is found again on resume, and what is said when that place is away."""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LONGEST_VALUE = 5000  # characters of a parameter or tag; MLflow keeps 6000
LONGEST_REASON = 200  # characters
SQLITE = "sqlite:///"

# Read by MLflow when it is imported. No telemetry, no waiting, no bars, no search for a git checkout.
MLFLOW_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the outbox tries again
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def settle() -> None:
    """Make MLflow quiet and quick to give up; also where another library has imported it before."""
    for key, value in MLFLOW_SETTINGS.items():
        os.environ.setdefault(key, value)
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)


@dataclass(frozen=True)
class Place:
    """A tracking server or store. `artifacts` is the address of its files, None where the server decides."""

    uri: str
    artifacts: str | None
    experiment: str
    run_name: str
    run_key: str
    state_file: Path

    @classmethod
    def of(cls, uri: str | None, workspace: Path, **names: Any) -> Place:
        """Return the given server, or the SQLite store below the workspace."""
        home = workspace.resolve() / "mlflow"
        place = uri or f"{SQLITE}{home / 'mlflow.db'}"
        remote = place.startswith(("http://", "https://", "databricks", "uc:"))
        return cls(place, None if remote else (home / "artifacts").as_uri(), **names)

    def __str__(self) -> str:
        """Return the address as it may be shown."""
        return public(self.uri)

    def prepare(self) -> None:
        """Create an SQLite store with a write-ahead log: readers and several trainings do not block."""
        if not self.uri.startswith(SQLITE):
            return
        path = Path(self.uri.removeprefix(SQLITE))
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with closing(sqlite3.connect(path, timeout=20)) as store:
                store.execute("PRAGMA journal_mode=WAL")
        except sqlite3.Error as error:
            raise OSError(f"{path}: {error}") from None

    def recall(self) -> str | None:
        """Return the id of the run that an earlier start of the same training opened here."""
        try:
            state = json.loads(self.state_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        same = (state.get("uri"), state.get("run_key")) == (str(self), self.run_key)
        return str(state["run_id"]) if same and "run_id" in state else None

    def remember(self, run_id: str) -> None:
        """Keep the id of the run for a resume."""
        state = {"uri": str(self), "run_key": self.run_key, "run_id": run_id}
        self.state_file.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.state_file.with_name(self.state_file.name + ".tmp")
        temporary.write_text(json.dumps(state, indent=1), encoding="utf-8")
        temporary.replace(self.state_file)


@dataclass
class Announcer:
    """Says once that a place is away, once that it is back, and each reason of a refusal once."""

    place: Place
    say: Callable[[str], None]
    _away: bool = False
    _reasons: set[str] = field(default_factory=set)

    def away(self, error: BaseException) -> None:
        """Report a failure to reach the place."""
        if not self._away:
            self._away = True
            self.say(
                f"MLflow: {self.place} is away ({reason(error)}). The training goes on, "
                f"{self.place.state_file.parent} keeps everything, and it is tried again."
            )

    def back(self) -> bool:
        """Report that the place was reached; True if it had been away."""
        if was_away := self._away:
            self._away = False
            self.say(f"MLflow: {self.place} is back; what was kept is being sent.")
        return was_away

    def refused(self, error: BaseException) -> None:
        """Report an entry that the place would not take."""
        if (why := reason(error)) not in self._reasons:
            self._reasons.add(why)
            self.say(f"MLflow: an entry was refused and left out: {why}")

    def unsent(self, entries: int) -> None:
        """Report what was not sent in the end."""
        self.say(
            f"MLflow: {entries} entries did not reach {self.place}. Nothing is lost: "
            f"{self.place.state_file.parent} holds the metrics and the weights."
        )


def public(text: str) -> str:
    """Return a text without the user:password of the addresses in it.

    >>> public("postgresql://anna:se/cret@db/x")
    'postgresql://db/x'
    """
    return re.sub(r"://[^@\s]+@", "://", text)


def reason(error: BaseException) -> str:
    """Return an error in one line of at most some 200 characters."""
    text = public(" ".join(str(error).split()) or type(error).__name__)
    half = LONGEST_REASON // 2
    return text if len(text) <= LONGEST_REASON else f"{text[:half]} ... {text[-half:]}"


def key_of(name: str) -> str:
    """Return a name in letters that MLflow accepts.

    >>> key_of("dice/liver, left (x)")
    'dice/liver_ left _x_'
    """
    return re.sub(r"[^\w\-. /]", "_", name)[:250]


def short(value: Any) -> str:
    """Return a value as text that MLflow accepts."""
    return str(value)[:LONGEST_VALUE]
