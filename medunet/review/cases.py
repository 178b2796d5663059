"""The cases of the worklist: an image, what is known of it, and how far its review has come."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypedDict, Unpack

import sqlalchemy as sql

from medunet.errors import DataError
from medunet.review.audit import record
from medunet.review.room import Room
from medunet.review.tables import CASES, TAGS

SOURCES = ("studies", "predictions", "synthetic", "folder")
STATES = ("open", "accepted", "rejected", "needs_edit")
AT_ONCE = 500  # ids in one statement

Order = Literal["priority", "risk", "uncertainty", "added"]
ORDERS: dict[str, list[Any]] = {
    "priority": [CASES.c.priority.desc()],
    "risk": [CASES.c.risk.desc().nulls_last()],
    "uncertainty": [CASES.c.uncertainty.desc().nulls_last()],
    "added": [],
}
MOVES = ("images", "uncertainty_map", "patient")  # what may differ when a case is added again


@dataclass(frozen=True)
class LabelInfo:
    """A label: its name, its colour as #rrggbb, its SNOMED CT code where it is known."""

    name: str
    colour: str
    snomed: str | None = None


@dataclass(frozen=True)
class NewCase:
    """What is known of an image before anybody has looked at it.

    images: paths, one a channel. shape: (X, Y[, Z]). spacing_mm: as many. labels: by value, without 0.
    instances: every value is one object, and may be any. model: the run that drew the mask.
    """

    name: str
    source: str
    images: tuple[str, ...]
    image_sha256: str
    modality: str
    dims: int
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    labels: dict[int, LabelInfo]
    instances: bool = False
    synthetic: bool = False
    risk: float | None = None
    uncertainty: float | None = None
    priority: int = 0
    flags: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    patient: str | None = None
    uncertainty_map: str | None = None
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class Case(NewCase):
    """A case of the worklist; `rev` is the current version of its mask, 0 where there is none."""

    id: str
    state: str
    rev: int
    assigned_to: str | None
    added: float
    updated: float


class Wanted(TypedDict, total=False):
    """What a worklist is filtered by; `assigned_to` "" are the cases of nobody, `label` is a name."""

    state: str | None
    assigned_to: str | None
    source: str | None
    label: str | None
    flag: str | None
    text: str | None


def key_of(new: NewCase) -> str:
    """Return what makes two cases the same: the image's content, where it came from, and whose mask it is."""
    text = json.dumps([new.image_sha256, new.source, new.model])
    return hashlib.sha256(text.encode()).hexdigest()


def known_case(room: Room, new: NewCase) -> str | None:
    """Return the id under which a case has been added before."""
    with room.read() as connection:
        return connection.scalar(sql.select(CASES.c.id).where(CASES.c.key == key_of(new)))


def add_case(room: Room, new: NewCase, user: str) -> str:
    """Add a case, or find it where it was added before; return its id.

    A case that is known takes the new places of its files, and keeps everything else. DataError where its
    fields do not fit each other.
    """
    _check(new)
    row = _row(new)
    with room.begin() as connection:
        found = (
            connection.execute(sql.select(CASES).where(CASES.c.key == row["key"])).mappings().one_or_none()
        )
        if found is not None:
            moved = {name: row[name] for name in MOVES if found[name] != row[name]}
            if moved:
                connection.execute(sql.update(CASES).where(CASES.c.id == found["id"]).values(**moved))
                record(connection, user, "case_moved", found["id"], {"changed": sorted(moved)})
            return str(found["id"])
        case_id, now = secrets.token_hex(8), time.time()
        more = {"id": case_id, "state": "open", "rev": 0, "added": now, "updated": now}
        connection.execute(sql.insert(CASES).values(**row, **more))
        tags = [{"kind": "label", "word": label.name[:200]} for label in new.labels.values()]
        tags += [{"kind": "flag", "word": flag[:200]} for flag in new.flags]
        unique = {tuple(tag.values()): tag | {"case_id": case_id} for tag in tags}
        if unique:
            connection.execute(sql.insert(TAGS), list(unique.values()))
        said = {"source": new.source, "image_sha256": new.image_sha256, "model": new.model}
        record(connection, user, "case_added", case_id, said)
    return case_id


def get_case(room: Room, case_id: str) -> Case:
    """Return a case; DataError where there is none with this id."""
    with room.read() as connection:
        return case_in(connection, case_id)


def case_in(connection: sql.Connection, case_id: str) -> Case:
    """Return a case within a transaction; DataError where there is none with this id."""
    row = connection.execute(sql.select(CASES).where(CASES.c.id == case_id)).mappings().one_or_none()
    if row is None:
        raise DataError(f"there is no case {case_id[:16]!r} in this reading room; see: medunet review list")
    return _case(row)


def find_cases(
    room: Room, *, order: Order = "priority", limit: int = 50, offset: int = 0, **wanted: Unpack[Wanted]
) -> list[Case]:
    """Return cases, the most urgent (or riskiest, least certain, oldest) first.

    `text` is looked for in names and patients: only for those who may see them.
    """
    query = sql.select(CASES).where(*_where(wanted))
    query = query.order_by(*ORDERS[order], CASES.c.added, CASES.c.id).limit(limit).offset(offset)
    with room.read() as connection:
        return [_case(row) for row in connection.execute(query).mappings()]


def count_cases(room: Room, **wanted: Unpack[Wanted]) -> dict[str, int]:
    """Return how many cases are in each state, of those that are wanted; states with none are there too."""
    query = sql.select(CASES.c.state, sql.func.count()).where(*_where(wanted)).group_by(CASES.c.state)
    with room.read() as connection:
        found = {state: int(count) for state, count in connection.execute(query)}
    return {state: found.get(state, 0) for state in STATES}


def assign(room: Room, ids: Iterable[str], user: str | None, by: str) -> int:
    """Give cases to somebody, or to nobody; return how many have changed hands."""
    changed = 0
    with room.begin() as connection:
        for case_id in ids:
            if case_in(connection, case_id).assigned_to == user:
                continue
            connection.execute(sql.update(CASES).where(CASES.c.id == case_id).values(assigned_to=user))
            record(connection, by, "assigned", case_id, {"to": user})
            changed += 1
    return changed


def _where(wanted: Wanted) -> list[sql.ColumnElement[bool]]:
    found: list[sql.ColumnElement[bool]] = []
    for name in ("state", "assigned_to", "source"):
        value = wanted.get(name)
        if value is not None:
            found.append(CASES.c[name] == value if value else CASES.c[name].is_(None))
    for kind in ("label", "flag"):
        word = wanted.get(kind)
        if word:
            tagged = sql.select(TAGS.c.case_id).where(TAGS.c.kind == kind, TAGS.c.word == word)
            found.append(CASES.c.id.in_(tagged))
    text = wanted.get("text")
    if text:
        found.append(
            CASES.c.name.icontains(text, autoescape=True) | CASES.c.patient.icontains(text, autoescape=True)
        )
    return found


def _check(new: NewCase) -> None:
    """Refuse a case that could not be shown."""
    wrong = {
        f"source {new.source!r}; expected one of {', '.join(SOURCES)}": new.source not in SOURCES,
        "no image": not new.images,
        f"shape {new.shape} and spacing {new.spacing_mm} mm; expected {new.dims} numbers above 0 each": not (
            len(new.shape) == len(new.spacing_mm) == new.dims and min(*new.shape, *new.spacing_mm, 1) > 0
        ),
        f"dims {new.dims}; expected 2 or 3": new.dims not in (2, 3),
        f"labels {sorted(new.labels)}; expected values from 1 to 65535": not all(
            0 < value < 2**16 for value in new.labels
        ),
    }
    found = [what for what, is_wrong in wrong.items() if is_wrong]
    if found:
        raise DataError(f"{new.name}: cannot be reviewed: {'; '.join(found)}")


def _row(new: NewCase) -> dict[str, Any]:
    values = {one.name: getattr(new, one.name) for one in fields(NewCase)}
    labels = {str(value): asdict(label) for value, label in new.labels.items()}
    lists = {name: list(values[name]) for name in ("images", "shape", "spacing_mm", "flags")}
    return values | lists | {"labels": labels, "key": key_of(new)}


def _case(row: Mapping[str, Any]) -> Case:
    values = {name: row[name] for name in (one.name for one in fields(Case))}
    tuples = {name: tuple(values[name]) for name in ("images", "shape", "spacing_mm", "flags")}
    labels = {int(value): LabelInfo(**label) for value, label in row["labels"].items()}
    return Case(**values | tuples | {"labels": labels})
