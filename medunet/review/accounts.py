"""Who may log in: users, their roles, and how a login is kept safe from guessing.

Passwords are kept as argon2id (RFC 9106, the variant for little memory); `sessions` keeps who is logged in.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from medunet.errors import ConfigError
from medunet.review import sessions
from medunet.review.audit import record
from medunet.review.errors import Refused
from medunet.review.policy import ROLES
from medunet.review.room import Room
from medunet.review.sessions import logout, revoke, session
from medunet.review.tables import USERS

__all__ = [
    "Account",
    "activate",
    "add_user",
    "deactivate",
    "login",
    "logout",
    "oidc_user",
    "revoke",
    "session",
    "set_password",
    "set_role",
    "set_subject",
    "users",
]

MIN_PASSWORD, MAX_PASSWORD = 12, 256  # characters
FAILURES, LOCKED_S = 5, 15 * 60.0
HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
# Of a long random text that nobody has: an unknown user takes as long as a known one.
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$qqaUzjdpf5a6RhaBK+ygtw$ARnZlZLE+w9UGk/+kswy77cNxEep4Gg3OaXvgxwZa6I"
_AT_ONCE = threading.BoundedSemaphore(2)  # each takes 64 MB
WRONG = "the name or the password is wrong, or the account is locked: after five failures for 15 minutes"


@dataclass(frozen=True)
class Account:
    """A user as those see it who manage users; times in seconds since 1970."""

    name: str
    role: str
    active: bool
    title: str
    email: str
    has_password: bool
    subject: str | None
    locked_until: float
    created: float


def add_user(room: Room, name: str, password: str | None, role: str, by: str) -> None:
    """Add a user; without a password only an OIDC provider lets them in. ConfigError where that cannot be."""
    _check_role(role)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", name):
        raise ConfigError(f"user {name[:80]!r}: expected 1 to 64 letters, digits and . _ @ + -")
    hashed = None if password is None else _hash(password)
    more = {"title": "", "email": "", "active": True, "failures": 0, "locked_until": 0.0}
    with room.begin() as connection:
        if connection.scalar(sql.select(USERS.c.name).where(sql.func.lower(USERS.c.name) == name.lower())):
            raise ConfigError(f"user {name}: is there already, maybe in other capitals; choose another name")
        values = {"name": name, "role": role, "password": hashed, "created": time.time(), **more}
        connection.execute(sql.insert(USERS).values(**values))
        record(connection, by, "user_added", None, {"name": name, "role": role})


def set_password(room: Room, name: str, password: str, by: str) -> None:
    """Give a user another password, and end all their sessions and locks."""
    values = {"password": _hash(password), "failures": 0, "locked_until": 0.0}
    _change(room, name, values, by, "password_set", ends=True)


def set_role(room: Room, name: str, role: str, by: str) -> None:
    """Give a user another role, which holds from the next request on."""
    _check_role(role)
    _change(room, name, {"role": role}, by, "role_set", role=role)


def set_subject(room: Room, name: str, subject: str, by: str) -> None:
    """Let an OIDC provider's subject, "issuer subject", log in as this user."""
    _change(room, name, {"subject": subject}, by, "subject_set")


def deactivate(room: Room, name: str, by: str) -> None:
    """Let a user in no more, and end all their sessions; what they did stays theirs."""
    _change(room, name, {"active": False}, by, "user_off", ends=True)


def activate(room: Room, name: str, by: str) -> None:
    """Let a user in again, and end a lock."""
    _change(room, name, {"active": True, "failures": 0, "locked_until": 0.0}, by, "user_on")


def users(room: Room) -> list[Account]:
    """Return all users by name."""
    with room.read() as connection:
        rows = connection.execute(sql.select(USERS).order_by(USERS.c.name)).mappings().all()
    names = ("name", "role", "active", "title", "email", "subject", "locked_until", "created")
    return [Account(**{n: row[n] for n in names}, has_password=row["password"] is not None) for row in rows]


def login(room: Room, name: str, password: str) -> str:
    """Return the token of a new session; Refused, with one message for every reason.

    The attempt counts before the password is looked at, so that many at once guess no more than one by one.
    """
    row = _attempt(room, name)
    hashed = row["password"] if row is not None else None
    right = _matches(hashed or NOBODY, password)
    if row is None or hashed is None or not right:
        raise Refused(WRONG)
    fresh: dict[str, Any] = {"failures": 0, "locked_until": 0.0}
    if HASHER.check_needs_rehash(hashed):
        fresh["password"] = _hash(password)
    with room.begin() as connection:
        # who was locked out or got another password meanwhile does not slip in
        still = (USERS.c.name == row["name"], USERS.c.password == hashed, USERS.c.active.is_(True))
        if not connection.execute(sql.update(USERS).where(*still).values(**fresh)).rowcount:
            raise Refused(WRONG)
        return sessions.start(connection, row["name"], "password")


def oidc_user(room: Room, subject: str, name: str, email: str) -> str:
    """Return the token of a new session for a subject that `set_subject` has made known; else Refused."""
    mine = (USERS.c.subject == subject, USERS.c.active.is_(True))
    with room.begin() as connection:
        user = connection.scalar(sql.select(USERS.c.name).where(*mine))
        if user is not None:
            shown = {"title": name[:200], "email": email[:200]}
            connection.execute(sql.update(USERS).where(*mine).values(**shown))
            return sessions.start(connection, user, "oidc")
    raise Refused("this account is not known here; ask an administrator to add it")


def _attempt(room: Room, name: str) -> Any:
    """Count an attempt to log in; return the user's row, or None where nobody may log in under this name."""
    now = time.time()
    with room.begin() as connection:
        row = connection.execute(sql.select(USERS).where(USERS.c.name == name)).mappings().one_or_none()
        record(connection, "?" if row is None else name, "login_tried", None, {})
        if row is None or not row["active"] or row["locked_until"] > now:
            return None
        failures = row["failures"] + 1
        values: dict[str, Any] = {"failures": failures}
        if failures >= FAILURES:
            values = {"failures": 0, "locked_until": now + LOCKED_S}
            record(connection, name, "locked", None, {})
        connection.execute(sql.update(USERS).where(USERS.c.name == name).values(**values))
    return row


def _matches(hashed: str, password: str) -> bool:
    with _AT_ONCE:
        try:
            return HASHER.verify(hashed, password[: MAX_PASSWORD + 1])
        except (VerificationError, InvalidHashError):
            return False


def _hash(password: str) -> str:
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise ConfigError(
            f"a password of {len(password)} characters; expected {MIN_PASSWORD} to {MAX_PASSWORD}"
        )
    with _AT_ONCE:
        return HASHER.hash(password)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise ConfigError(f"unknown role {role!r}; expected one of {', '.join(ROLES)}")


def _change(
    room: Room, name: str, values: dict[str, Any], by: str, action: str, *, ends: bool = False, **said: str
) -> None:
    with room.begin() as connection:
        if not connection.execute(sql.update(USERS).where(USERS.c.name == name).values(**values)).rowcount:
            raise ConfigError(f"user {name[:80]!r}: there is none; see: medunet review user list")
        if ends:
            sessions.end(connection, name)
        record(connection, by, action, None, {"name": name, **said})
