"""Who is logged in: a random token in a cookie, of which the database keeps the hash only."""

from __future__ import annotations

import hashlib
import secrets
import time

import sqlalchemy as sql

from medunet.review.audit import record
from medunet.review.policy import User
from medunet.review.room import Room
from medunet.review.tables import SESSIONS, USERS

IDLE_S = 15 * 60.0
ABSOLUTE_S = 12 * 3600.0
SEEN_S = 30.0  # how exactly it is known when a session was last used


def session(room: Room, token: str, *, touch: bool = True) -> User | None:
    """Return who a token stands for, with the role they have now; None where it has ended.

    touch: whether this was the user and not a heartbeat of the page, which must not keep a session alive.
    """
    digest, now = _digest(token), time.time()
    query = (
        sql.select(SESSIONS.c.seen, USERS.c.name, USERS.c.role, USERS.c.title)
        .join(USERS, USERS.c.name == SESSIONS.c.user)
        .where(
            SESSIONS.c.digest == digest,
            SESSIONS.c.seen >= now - IDLE_S,
            SESSIONS.c.created >= now - ABSOLUTE_S,
            USERS.c.active.is_(True),
        )
    )
    with room.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    if touch and row.seen < now - SEEN_S:
        with room.begin() as connection:
            connection.execute(sql.update(SESSIONS).where(SESSIONS.c.digest == digest).values(seen=now))
    return User(row.name, row.role, row.title)


def logout(room: Room, token: str) -> None:
    """End a session; one that has ended already changes nothing."""
    where = SESSIONS.c.digest == _digest(token)
    with room.begin() as connection:
        user = connection.scalar(sql.select(SESSIONS.c.user).where(where))
        if user is not None:
            connection.execute(sql.delete(SESSIONS).where(where))
            record(connection, user, "logout", None, {})


def revoke(room: Room, name: str, by: str = "") -> int:
    """End all sessions of a user; return how many."""
    with room.begin() as connection:
        count = end(connection, name)
        record(connection, by or name, "sessions_ended", None, {"name": name, "count": count})
    return count


def start(connection: sql.Connection, name: str, how: str) -> str:
    """Start a session within a transaction, and forget those that have ended; return its token."""
    now, token = time.time(), secrets.token_urlsafe(32)
    old = (SESSIONS.c.seen < now - IDLE_S) | (SESSIONS.c.created < now - ABSOLUTE_S)
    connection.execute(sql.delete(SESSIONS).where(old))
    connection.execute(sql.insert(SESSIONS).values(digest=_digest(token), user=name, created=now, seen=now))
    record(connection, name, "login", None, {"how": how})
    return token


def end(connection: sql.Connection, name: str) -> int:
    """End all sessions of a user within a transaction; return how many."""
    return connection.execute(sql.delete(SESSIONS).where(SESSIONS.c.user == name)).rowcount


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
