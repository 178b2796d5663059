"""Who edits a case now: one at a time, for as long as the browser says that it is still there."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

import sqlalchemy as sql

from medunet.review.cases import case_in
from medunet.review.errors import Refused
from medunet.review.room import Room
from medunet.review.tables import LEASES

SECONDS = 90.0  # three heartbeats of a browser


@dataclass(frozen=True)
class Lease:
    """The right to save a case: `token` is its proof, `until` in seconds since 1970."""

    token: str
    until: float
    user: str


def take(
    room: Room, case_id: str, user: str, *, seconds: float = SECONDS, reading: str | None = None
) -> Lease:
    """Take a case that nobody holds; Refused, naming the holder, where somebody else does.

    Who holds it already gets a new token, and the older one, of another tab, ends.
    """
    now = time.time()
    lease = Lease(secrets.token_hex(16), now + seconds, user)
    with room.begin() as connection:
        case_in(connection, case_id)
        held = _held(connection, case_id, reading)
        if held is not None and held.user != user and held.until > now:
            raise Refused(f"{held.user} is editing this case; try again later", held.user, held.until)
        connection.execute(sql.delete(LEASES).where(*_of(case_id, reading)))
        values = {"user": user, "token": lease.token, "until": lease.until}
        connection.execute(sql.insert(LEASES).values(case_id=case_id, reading=reading or "", **values))
    return lease


def renew(
    room: Room, case_id: str, token: str, *, seconds: float = SECONDS, reading: str | None = None
) -> Lease:
    """Prolong a lease, even one that has ended if nobody else has taken the case since; else Refused."""
    with room.begin() as connection:
        user = check(connection, case_id, token, reading=reading)
        lease = Lease(token, time.time() + seconds, user)
        connection.execute(sql.update(LEASES).where(*_of(case_id, reading)).values(until=lease.until))
    return lease


def drop(room: Room, case_id: str, token: str, *, reading: str | None = None) -> None:
    """Give a case back; a token that holds no longer changes nothing."""
    with room.begin() as connection:
        connection.execute(sql.delete(LEASES).where(*_of(case_id, reading), LEASES.c.token == token))


def holder(room: Room, case_id: str, *, reading: str | None = None) -> Lease | None:
    """Return who holds a case now; the token is not told."""
    with room.read() as connection:
        held = _held(connection, case_id, reading)
    return None if held is None or held.until <= time.time() else Lease("", held.until, held.user)


def check(connection: sql.Connection, case_id: str, token: str, *, reading: str | None = None) -> str:
    """Return the user whose lease this is; Refused where it is not, or no more, the lease of the case."""
    held = _held(connection, case_id, reading)
    if held is None:
        raise Refused("nobody holds this case; take it before you save")
    if not secrets.compare_digest(held.token.encode(), token.encode()):
        raise Refused(
            f"{held.user} has taken this case since; your edits are not stored", held.user, held.until
        )
    return held.user


def _of(case_id: str, reading: str | None) -> tuple[sql.ColumnElement[bool], ...]:
    return LEASES.c.case_id == case_id, LEASES.c.reading == (reading or "")


def _held(connection: sql.Connection, case_id: str, reading: str | None) -> Lease | None:
    query = sql.select(LEASES.c.token, LEASES.c.until, LEASES.c.user).where(*_of(case_id, reading))
    row = connection.execute(query).one_or_none()
    return None if row is None else Lease(row.token, row.until, row.user)
