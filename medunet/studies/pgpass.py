"""Passwords of PostgreSQL where its own programs look for them, so that no URL needs to hold one."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import sqlalchemy as sql

from medunet.errors import ConfigError


def with_password(url: sql.URL) -> sql.URL:
    """Return a URL with the password of PGPASSWORD or of ~/.pgpass (PGPASSFILE), if it has none itself.

    ConfigError where others may read that file. Source: PostgreSQL, "The Password File".
    """
    if url.password is not None:
        return url
    password = os.environ.get("PGPASSWORD") or _of_file(
        Path(os.environ.get("PGPASSFILE") or Path.home() / ".pgpass"),
        (url.host or "localhost", str(url.port or 5432), url.database or "", url.username or ""),
    )
    return url if password is None else url.set(password=password)


def _of_file(path: Path, wanted: tuple[str, str, str, str]) -> str | None:
    try:
        mode, text = path.stat().st_mode, path.read_text(encoding="utf-8")
    except OSError:
        return None
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path}: others may read it. Run: chmod 600 {path}")
    for line in text.splitlines():
        fields = [re.sub(r"\\(.)", r"\1", field) for field in re.findall(r"((?:\\.|[^:\\])*)(?::|$)", line)]
        fits = len(fields) >= 5 and all(a in ("*", b) for a, b in zip(fields, wanted, strict=False))
        if fits and not line.startswith("#"):
            return fields[4]
    return None
