"""The strokes that were drawn since a version was loaded, so that a crash loses one at most.

A stroke is opaque here: the viewer writes and reads it. It is stored once the call has returned.
"""

from __future__ import annotations

import time

import sqlalchemy as sql

from medunet.errors import DataError
from medunet.review.cases import case_in
from medunet.review.room import Room
from medunet.review.tables import STROKES

MAX_BYTES = 4_000_000  # of one stroke
MAX_STROKES = 100_000  # of one journal


def append(
    room: Room, case_id: str, user: str, base_rev: int, seq: int, body: bytes, *, reading: str | None = None
) -> None:
    """Store stroke number `seq` on version `base_rev`; the same one again changes nothing.

    DataError where it is too large, or where another stroke has this number.
    """
    if len(body) > MAX_BYTES or not 0 <= seq < MAX_STROKES:
        raise DataError(
            f"stroke {seq} of {len(body)} bytes; expected at most {MAX_BYTES} bytes, and fewer than "
            f"{MAX_STROKES} strokes between two saves: save the mask"
        )
    where = (*_of(case_id, user, base_rev, reading), STROKES.c.seq == seq)
    with room.begin() as connection:
        case_in(connection, case_id)
        known = connection.scalar(sql.select(STROKES.c.body).where(*where))
        if known is not None and bytes(known) != body:
            raise DataError(f"there is another stroke {seq} on version {base_rev}; load the journal first")
        if known is None:
            key = {"case_id": case_id, "user": user, "base_rev": base_rev, "reading": reading or ""}
            connection.execute(sql.insert(STROKES).values(**key, seq=seq, body=body, created=time.time()))


def strokes(room: Room, case_id: str, user: str, base_rev: int, *, reading: str | None = None) -> list[bytes]:
    """Return the strokes of a user on a version, in their order; up to the first that is missing.

    A stroke after a gap was drawn on what the missing one has left: it cannot be drawn again without it.
    """
    query = sql.select(STROKES.c.seq, STROKES.c.body).where(*_of(case_id, user, base_rev, reading))
    with room.read() as connection:
        rows = connection.execute(query.order_by(STROKES.c.seq)).all()
    first = rows[0].seq if rows else 0
    return [bytes(row.body) for number, row in enumerate(rows) if row.seq == first + number]


def clear(
    room: Room,
    case_id: str,
    user: str,
    base_rev: int,
    *,
    up_to: int = MAX_STROKES,
    reading: str | None = None,
) -> int:
    """Remove the strokes that a save holds, up to number `up_to`; return how many."""
    where = (*_of(case_id, user, base_rev, reading), STROKES.c.seq <= up_to)
    with room.begin() as connection:
        return connection.execute(sql.delete(STROKES).where(*where)).rowcount


def _of(case_id: str, user: str, base_rev: int, reading: str | None) -> tuple[sql.ColumnElement[bool], ...]:
    mine = STROKES.c.case_id == case_id, STROKES.c.user == user, STROKES.c.reading == (reading or "")
    return *mine, STROKES.c.base_rev == base_rev
