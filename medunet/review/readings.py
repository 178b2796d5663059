"""Who has read a case, blinded or first, and who may see what; `second_read` makes and settles them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql

from medunet.errors import DataError
from medunet.io.volume import Array
from medunet.review import versions
from medunet.review.decisions import Decision, decisions_of
from medunet.review.room import Room
from medunet.review.tables import DECISIONS
from medunet.review.tables_reading import ADJUDICATIONS, READINGS

FIRST = "first"  # in place of a reading's id: what the first reader left on the case itself


@dataclass(frozen=True)
class Reading:
    """A reading of a case: `decision` is None until the reader has submitted it.

    start: the mask it began with, the model's or an empty one.
    """

    id: str
    case_id: str
    reader: str
    start: str
    assigned: float
    decision: Decision | None

    @property
    def submitted(self) -> bool:
        """Whether the reader is done with it."""
        return self.decision is not None


@dataclass(frozen=True)
class Sight:
    """What a user may see of a case: whether the model's mask, and whether what others have done.

    reading: where the user's own mask is (`reading=` of `versions` and `leases`); None: on the case itself.
    """

    reading: str | None
    model: bool
    others: bool


def reading_of(room: Room, reading: str) -> Reading:
    """Return a reading that was assigned; DataError where there is none with this id."""
    found = _assigned(room, READINGS.c.id == reading)
    if not found:
        raise DataError(f"there is no reading {reading[:16]!r} in this reading room; see those of the case")
    return found[0]


def readings_of(room: Room, case_id: str) -> list[Reading]:
    """Return all readings of a case: the first reader's (its id is FIRST), then those assigned.

    The first reader is who has last decided on the case itself, without settling it.
    """
    assigned = _assigned(room, READINGS.c.case_id == case_id)
    others = {one.reader for one in assigned} | {
        one["adjudicator"] for one in adjudications_of(room, case_id)
    }
    first = [one for one in decisions_of(room, case_id) if one.user not in others][-1:]
    return [Reading(FIRST, case_id, one.user, "model", one.created, one) for one in first] + assigned


def to_read(room: Room, reader: str) -> list[Reading]:
    """Return what somebody has been asked to read and has not submitted, the oldest first."""
    done = sql.select(DECISIONS.c.id).where(DECISIONS.c.reading == READINGS.c.id).exists()
    return _assigned(room, sql.and_(READINGS.c.reader == reader, ~done))


def sight(room: Room, case_id: str, user: str) -> Sight:
    """Return what a user may see of a case: who reads it blinded sees nothing of others till all are done."""
    assigned = _assigned(room, READINGS.c.case_id == case_id)
    own = next((one for one in assigned if one.reader == user), None)
    if own is None or all(one.submitted for one in assigned):
        return Sight(None, model=True, others=True)
    return Sight(own.id, model=own.start == "model", others=False)


def masks_of(room: Room, readings: Sequence[Reading]) -> dict[str, Array]:
    """Return the mask (X, Y[, Z]) of each reader who has submitted one, as it was then."""
    return {one.reader: mask_of(room, one) for one in readings if one.submitted}


def mask_of(room: Room, reading: Reading) -> Array:
    """Return the mask (X, Y[, Z]) that was submitted; DataError before that."""
    if reading.decision is None:
        raise DataError(f"{reading.reader} has not submitted this reading; wait for it")
    place = None if reading.id == FIRST else reading.id
    return versions.mask_of(room, reading.case_id, reading.decision.rev, place)


def adjudications_of(room: Room, case_id: str) -> list[dict[str, Any]]:
    """Return how a case was settled, the first time first: adjudicator, chosen, rev, reason, created."""
    query = sql.select(ADJUDICATIONS).where(ADJUDICATIONS.c.case_id == case_id)
    with room.read() as connection:
        rows = connection.execute(query.order_by(ADJUDICATIONS.c.created)).mappings()
        return [dict(row) for row in rows]


def cases_read_twice(room: Room) -> list[str]:
    """Return the cases of which second readings were asked for, the oldest first."""
    query = sql.select(READINGS.c.case_id).group_by(READINGS.c.case_id)
    with room.read() as connection:
        return list(connection.scalars(query.order_by(sql.func.min(READINGS.c.assigned))))


def _assigned(room: Room, where: sql.ColumnElement[bool]) -> list[Reading]:
    with room.read() as connection:
        rows = connection.execute(sql.select(READINGS).where(where).order_by(READINGS.c.assigned)).all()
    found = []
    for row in rows:
        decided = decisions_of(room, row.case_id, row.id)
        decision = decided[0] if decided else None  # later ones do not count
        found.append(Reading(row.id, row.case_id, row.reader, row.start, row.assigned, decision))
    return found
