"""The versions of a mask: every save is one, none is ever changed, each can come back."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Required, TypedDict, Unpack

import numpy as np
import sqlalchemy as sql

from medunet.errors import DataError
from medunet.io.volume import Array
from medunet.review import leases
from medunet.review.audit import record
from medunet.review.cases import Case, case_in, get_case
from medunet.review.errors import Conflict, Refused
from medunet.review.room import Room
from medunet.review.store import TYPES
from medunet.review.tables import CASES, VERSIONS

COLUMNS = [column for column in VERSIONS.c if column.name != "reading"]


@dataclass(frozen=True)
class Version:
    """A mask as it was saved: `changed_voxels` against its parent, `created` in seconds since 1970."""

    case_id: str
    rev: int
    sha256: str
    parent_sha256: str
    author: str
    tool: str
    changed_voxels: int
    note: str
    created: float


class About(TypedDict, total=False):
    """What is said of a save: the tool that made it, a note, the second reading that it belongs to."""

    tool: Required[str]
    note: str
    reading: str | None


class _Proof(TypedDict):
    user: str
    token: str


def save(
    room: Room,
    case_id: str,
    array: Array,
    *,
    user: str,
    token: str,
    base_rev: int,
    **about: Unpack[About],
) -> Version:
    """Store a mask (X, Y[, Z]) of uint8 or uint16 as the next version; return it.

    One that changes nothing is no version: the current one is returned. A case that was decided is open
    again. Conflict where `base_rev` is not current any more, Refused where `token` is not the case's lease,
    DataError for another shape or unknown labels; nothing is stored then.
    """
    reading = about.get("reading")
    with room.read() as connection:
        case = case_in(connection, case_id)
        _check_lease(connection, case_id, _Proof(user=user, token=token), reading)
        current = current_in(connection, case_id, reading)
    _check_base(base_rev, current)
    base = _mask(room, case, current)
    changed_voxels = _check_mask(case, array, base)
    if current is not None and changed_voxels == 0:
        return current
    sha256 = room.masks.put(array)  # before the transaction: it takes long, and an unused file does no harm
    with room.begin() as connection:
        _check_lease(connection, case_id, _Proof(user=user, token=token), reading)
        current = current_in(connection, case_id, reading)
        _check_base(base_rev, current)
        version = _next(case_id, current, sha256, user, changed_voxels, about)
        _store(connection, version, reading, "mask_saved")
    return version


def import_mask(
    room: Room, case_id: str, array: Array, author: str, tool: str = "import", reading: str | None = None
) -> Version:
    """Store a mask (X, Y[, Z]) that somebody or some model has drawn elsewhere as version 1, without a lease.

    The same mask again changes nothing. Conflict where there is another one already.
    """
    case = get_case(room, case_id)
    changed_voxels = _check_mask(case, array, _mask(room, case, None))
    sha256 = room.masks.put(array)
    with room.begin() as connection:
        current = current_in(connection, case_id, reading)
        if current is not None and current.rev == 1 and current.sha256 == sha256:
            return current
        _check_base(0, current)
        about = About(tool=tool)
        version = _next(case_id, None, sha256, author, changed_voxels, about)
        _store(connection, version, reading, "mask_imported")
    return version


def restore(room: Room, case_id: str, rev: int, *, user: str, token: str, base_rev: int) -> Version:
    """Store an older version again, as the next one; checks and errors as of `save`."""
    array = mask_of(room, case_id, rev)
    about = About(tool="restore", note=f"version {rev}")
    return save(room, case_id, array, user=user, token=token, base_rev=base_rev, **about)


def history(room: Room, case_id: str, reading: str | None = None) -> list[Version]:
    """Return all versions, the first one first."""
    query = sql.select(*COLUMNS).where(*_of(case_id, reading)).order_by(VERSIONS.c.rev)
    with room.read() as connection:
        case_in(connection, case_id)
        return [Version(**row) for row in connection.execute(query).mappings()]


def version_of(
    room: Room, case_id: str, rev: int | None = None, reading: str | None = None
) -> Version | None:
    """Return a version, by default the current one; None where there is no mask yet; DataError if unknown."""
    with room.read() as connection:
        case_in(connection, case_id)
        return _version(connection, case_id, rev, reading)


def mask_of(room: Room, case_id: str, rev: int | None = None, reading: str | None = None) -> Array:
    """Return the mask (X, Y[, Z]) of a version, by default the current one; version 0 is empty.

    It is x fastest in memory and cannot be written to.
    """
    with room.read() as connection:
        case = case_in(connection, case_id)
        version = _version(connection, case_id, rev, reading)
    return _mask(room, case, version)


def current_in(connection: sql.Connection, case_id: str, reading: str | None) -> Version | None:
    """Return the current version within a transaction; None where there is no mask yet."""
    query = sql.select(*COLUMNS).where(*_of(case_id, reading)).order_by(VERSIONS.c.rev.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Version(**row)


def _of(case_id: str, reading: str | None) -> tuple[sql.ColumnElement[bool], ...]:
    return VERSIONS.c.case_id == case_id, VERSIONS.c.reading == (reading or "")


def _version(
    connection: sql.Connection, case_id: str, rev: int | None, reading: str | None
) -> Version | None:
    if rev is None:
        return current_in(connection, case_id, reading)
    if rev == 0:
        return None
    query = sql.select(*COLUMNS).where(*_of(case_id, reading), VERSIONS.c.rev == rev)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise DataError(f"the mask of case {case_id} has no version {rev}; see its history")
    return Version(**row)


def _mask(room: Room, case: Case, version: Version | None) -> Array:
    if version is not None:
        return room.masks.get(version.sha256)
    return np.zeros(case.shape, np.uint16 if case.instances else np.uint8, order="F")


def _check_lease(connection: sql.Connection, case_id: str, proof: _Proof, reading: str | None) -> None:
    holder = leases.check(connection, case_id, proof["token"], reading=reading)
    if holder != proof["user"]:
        raise Refused("this lease belongs to somebody else", holder)


def _check_base(base_rev: int, current: Version | None) -> None:
    rev, sha256 = (current.rev, current.sha256) if current is not None else (0, "")
    if base_rev != rev:
        raise Conflict(
            f"the mask has changed: it was version {base_rev}, now it is {rev}. Your edits are not stored; "
            "compare them with the new version",
            rev,
            sha256,
        )


def _check_mask(case: Case, array: Array, base: Array) -> int:
    """Return how many voxels differ from the version before; DataError where the mask does not fit the case.

    Only these are looked at: the others were, when they were stored.
    """
    if array.shape != case.shape or array.dtype.name not in TYPES:
        raise DataError(
            f"a mask of shape {array.shape} and type {array.dtype}; expected {case.shape} as the image, and "
            "uint8 or uint16"
        )
    differs = array.T != base.T  # C order both, if x is fastest
    changed = array.T[differs]
    if not case.instances:
        unknown = sorted(set(np.unique(changed).tolist()) - {0, *case.labels})
        if unknown:
            raise DataError(f"the mask has the labels {unknown[:5]}; expected {sorted(case.labels)} or 0")
    return int(changed.size)


def _next(
    case_id: str, current: Version | None, sha256: str, author: str, changed_voxels: int, about: About
) -> Version:
    rev, parent = (current.rev, current.sha256) if current is not None else (0, "")
    return Version(
        case_id=case_id,
        rev=rev + 1,
        sha256=sha256,
        parent_sha256=parent,
        author=author,
        tool=about["tool"],
        changed_voxels=changed_voxels,
        note=about.get("note", ""),
        created=time.time(),
    )


def _store(connection: sql.Connection, version: Version, reading: str | None, action: str) -> None:
    """Write a version, make it the current one, and open the case again."""
    values = asdict(version)
    connection.execute(sql.insert(VERSIONS).values(reading=reading or "", **values))
    if reading is None:
        now = {"rev": version.rev, "state": "open", "updated": version.created}
        connection.execute(sql.update(CASES).where(CASES.c.id == version.case_id).values(**now))
    names = ("rev", "sha256", "parent_sha256", "author", "tool", "changed_voxels")
    body = {name: values[name] for name in names} | ({"reading": reading} if reading else {})
    record(connection, version.author, action, version.case_id, body)
