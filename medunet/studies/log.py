"""One log a study: what was done with it and when, under hashed ids."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path


def note(folder: Path, name: str, text: str) -> None:
    """Append a line to a study's log; several processes may write at once."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = f"{now} [{os.getpid()}] {' '.join(text.split())}\n"
    with (folder / f"{name}.log").open("a", encoding="utf-8") as stream:
        stream.write(line)
