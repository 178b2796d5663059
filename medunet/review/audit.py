"""The audit: who did what and when, each row hashed together with the row before it.

A row is written in the same transaction as what it tells of. Triggers refuse to change it; who gets around
them breaks the chain. Who computes the whole chain anew is found by a line of `audit.head` kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sql

from medunet.errors import DataError
from medunet.review.room import Room
from medunet.review.tables import AUDIT, AUDIT_HEAD

START = "0" * 64  # before the first row
ROWS_AT_ONCE = 20_000
MAX_PROBLEMS = 100
_chained = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class AuditReport:
    """What a look at the whole chain found: `problems` are (row number, what), a hundred at most."""

    rows: int
    problems: list[tuple[int, str]]
    digest: str  # of the last row


def record(
    connection: sql.Connection, user: str, action: str, case_id: str | None, body: Mapping[str, Any]
) -> str:
    """Add a row within a transaction of `Room.begin`; return its digest."""
    n, previous = _head(connection)
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)
    values = (n + 1, time.time(), user, action, case_id, text)
    digest = _digest(previous, values)
    names = ("n", "created", "user", "action", "case_id", "body")
    connection.execute(sql.insert(AUDIT).values(**dict(zip(names, values, strict=True)), digest=digest))
    connection.execute(sql.update(AUDIT_HEAD).values(n=n + 1, digest=digest))
    return digest


def verify(room: Room, heads: Path | None = None) -> AuditReport:
    """Look at every row: changed, removed, inserted, reordered, or cut off at the end.

    heads: lines "n digest", as `keep_head` writes; default: audit.head of the room, where it is there.
    """
    kept = _kept(heads if heads is not None else room.folder / "audit.head", must=heads is not None)
    problems: list[tuple[int, str]] = []
    n, previous = 0, START
    with room.read() as connection:
        if connection.dialect.name == "postgresql":  # SQLite shows one state to a transaction anyway
            connection.execution_options(isolation_level="REPEATABLE READ")
        head = connection.execute(sql.select(AUDIT_HEAD.c.n, AUDIT_HEAD.c.digest)).one_or_none()
        for row in _rows(connection):
            if row[0] != n + 1:
                problems.append((row[0], f"row {row[0]} follows row {n}"))
            elif _digest(previous, row[:6]) != row[6]:
                problems.append((row[0], "the row, or the one before it, is not what was written"))
            n, previous = row[0], row[6]
            if kept.pop(n, previous) != previous:
                problems.append((n, "the row is not the one that audit.head tells of"))
            if len(problems) >= MAX_PROBLEMS:
                return AuditReport(n, problems, previous)
    problems += [(lost, "audit.head tells of this row, and it is gone") for lost in kept if lost > n]
    if head is None or tuple(head) != (n, previous):
        problems.append((n, f"the chain should end at row {head[0] if head else '?'} in another digest"))
    return AuditReport(n, problems, previous)


def keep_head(room: Room, path: Path | None = None) -> Path:
    """Add the end of the chain to a file, by default audit.head of the room; keep a copy elsewhere."""
    path = room.folder / "audit.head" if path is None else path
    with room.read() as connection:
        n, digest = _head(connection)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(f"{n} {digest}\n")
    return path


def entries(room: Room, case_id: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Return the newest rows, of one case or of all, the newest first."""
    query = sql.select(AUDIT).order_by(AUDIT.c.n.desc()).limit(limit)
    if case_id is not None:
        query = query.where(AUDIT.c.case_id == case_id)
    with room.read() as connection:
        rows = connection.execute(query).mappings().all()
    return [{**row, "body": json.loads(row["body"])} for row in rows]


def _head(connection: sql.Connection) -> tuple[int, str]:
    row = connection.execute(sql.select(AUDIT_HEAD.c.n, AUDIT_HEAD.c.digest)).one_or_none()
    if row is None:
        raise DataError("the audit has lost its end; run: medunet review audit verify")
    return row.n, row.digest


def _kept(path: Path, *, must: bool) -> dict[int, str]:
    """Return the digests by row number that a file tells of."""
    if not must and not path.exists():
        return {}
    try:
        pairs = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        return {int(n): digest for n, digest in pairs if int(n)}
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); expected lines of a row number and a digest"
        ) from None


def _digest(previous: str, values: Sequence[Any]) -> str:
    return hashlib.sha256((previous + _chained(values)).encode()).hexdigest()


def _rows(connection: sql.Connection) -> Iterator[Any]:
    """Yield all rows in their order, some at a time: neither database holds them all in memory."""
    columns = (AUDIT.c.n, AUDIT.c.created, AUDIT.c.user, AUDIT.c.action, AUDIT.c.case_id, AUDIT.c.body)
    query = sql.select(*columns, AUDIT.c.digest).order_by(AUDIT.c.n).limit(ROWS_AT_ONCE)
    last: int | None = None
    while rows := connection.execute(query if last is None else query.where(AUDIT.c.n > last)).fetchall():
        yield from rows
        last = rows[-1][0]
