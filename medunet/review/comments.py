"""Remarks on a case, pinned to a voxel where they are about one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sql

from medunet.errors import DataError
from medunet.review.audit import record
from medunet.review.cases import Case, case_in
from medunet.review.decisions import MAX_TEXT
from medunet.review.room import Room
from medunet.review.tables import COMMENTS


@dataclass(frozen=True)
class Comment:
    """A remark; `voxel` (x, y[, z]) of the image in RAS+, `rev` the version that was looked at."""

    id: str
    case_id: str
    user: str
    text: str
    voxel: tuple[int, ...] | None
    rev: int
    created: float
    resolved_by: str | None = None
    resolved: float | None = None


def comment(
    room: Room, case_id: str, user: str, text: str, voxel: Sequence[int] | None = None, rev: int = 0
) -> Comment:
    """Store a remark; DataError where it is empty or too long, or its voxel lies outside the image."""
    pinned = None if voxel is None else tuple(int(x) for x in voxel)
    said = Comment(secrets.token_hex(8), case_id, user, text.strip(), pinned, rev, time.time())
    with room.begin() as connection:
        _check(case_in(connection, case_id), said)
        values = asdict(said) | {"voxel": None if pinned is None else list(pinned)}
        connection.execute(sql.insert(COMMENTS).values(**values))
        record(connection, user, "commented", case_id, {"id": said.id, "rev": rev})
    return said


def comments_of(room: Room, case_id: str) -> list[Comment]:
    """Return all remarks on a case, the first one first."""
    query = (
        sql.select(COMMENTS).where(COMMENTS.c.case_id == case_id).order_by(COMMENTS.c.created, COMMENTS.c.id)
    )
    with room.read() as connection:
        return [_comment(row) for row in connection.execute(query).mappings()]


def resolve(room: Room, comment_id: str, user: str) -> Comment:
    """Mark a remark as settled; once it is, it stays with who settled it first."""
    mine = COMMENTS.c.id == comment_id
    with room.begin() as connection:
        row = connection.execute(sql.select(COMMENTS).where(mine)).mappings().one_or_none()
        if row is None:
            raise DataError(f"there is no comment {comment_id[:16]!r}")
        if row["resolved"] is None:
            done: dict[str, Any] = {"resolved_by": user, "resolved": time.time()}
            connection.execute(sql.update(COMMENTS).where(mine).values(**done))
            record(connection, user, "resolved", row["case_id"], {"id": comment_id})
            return _comment({**row, **done})
    return _comment(row)


def _check(case: Case, said: Comment) -> None:
    if not 0 < len(said.text) <= MAX_TEXT:
        raise DataError(f"a comment of {len(said.text)} characters; expected 1 to {MAX_TEXT}")
    inside = said.voxel is None or (
        len(said.voxel) == case.dims
        and all(0 <= x < size for x, size in zip(said.voxel, case.shape, strict=True))
    )
    if not inside:
        raise DataError(f"a comment at voxel {said.voxel}; expected one inside the image of {case.shape}")
    if not 0 <= said.rev <= case.rev:
        raise DataError(f"a comment on version {said.rev}; expected one up to {case.rev}")


def _comment(row: Any) -> Comment:
    return Comment(**{**row, "voxel": None if row["voxel"] is None else tuple(row["voxel"])})
