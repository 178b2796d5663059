"""What a reader thinks of a mask: accepted, rejected or to be edited, and why."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Required, TypedDict, Unpack

import sqlalchemy as sql

from medunet.errors import DataError
from medunet.review.audit import record
from medunet.review.cases import case_in
from medunet.review.errors import Conflict
from medunet.review.room import Room
from medunet.review.tables import CASES, DECISIONS
from medunet.review.versions import current_in

VERDICTS = ("accepted", "rejected", "needs_edit")
REASONS = {
    "boundary": "the outline is off",
    "missed": "something is missing",
    "extra": "something is marked that is not there",
    "label": "a wrong label",
    "side": "left and right are swapped",
    "leak": "it runs into a neighbour",
    "split": "objects are split or merged wrongly",
    "shifted": "the mask does not lie on the image",
    "artefact": "an artefact of the image has misled it",
    "quality": "the image is not good enough",
    "wrong_image": "another body part, modality or sequence",
    "unrealistic": "this cannot be a real image",
    "other": "another reason, told in the comment",
}
MAX_TEXT = 4000  # characters of a comment


class Opinion(TypedDict, total=False):
    """What a reader says beside the verdict; `difficulty` from 1 (easy) to 5, `seconds` spent reading."""

    reasons: Required[Sequence[str]]
    difficulty: int | None
    comment: str
    seconds: float | None
    reading: str | None


@dataclass(frozen=True)
class Decision:
    """A verdict on one version of a mask; `created` in seconds since 1970."""

    id: str
    case_id: str
    user: str
    verdict: str
    rev: int
    sha256: str
    reasons: tuple[str, ...]
    difficulty: int | None
    comment: str
    seconds: float | None
    created: float


def decide(
    room: Room, case_id: str, *, user: str, verdict: str, rev: int, **opinion: Unpack[Opinion]
) -> Decision:
    """Store a verdict on the current version, which becomes the state of the case.

    Of a second reading (`reading`) it leaves the case as it is. Conflict where `rev` is not current any more;
    DataError for unknown words, and for a rejection without a reason.
    """
    _check(verdict, opinion)
    reading = opinion.get("reading")
    with room.begin() as connection:
        case_in(connection, case_id)
        current = current_in(connection, case_id, reading)
        now = (current.rev, current.sha256) if current is not None else (0, "")
        if rev != now[0]:
            raise Conflict(f"you decided on version {rev}, but {now[0]} is current: look at that one", *now)
        if current is None and verdict == "accepted":
            raise DataError(f"case {case_id} has no mask to accept; save one first, even an empty one")
        decision = Decision(
            id=secrets.token_hex(8),
            case_id=case_id,
            user=user,
            verdict=verdict,
            rev=rev,
            sha256=now[1],
            reasons=tuple(opinion["reasons"]),
            difficulty=opinion.get("difficulty"),
            comment=opinion.get("comment", ""),
            seconds=opinion.get("seconds"),
            created=time.time(),
        )
        _store(connection, decision, reading)
    return decision


def decisions_of(room: Room, case_id: str, reading: str | None = None) -> list[Decision]:
    """Return all verdicts on a case, the first one first; those of a second reading only where asked for."""
    query = sql.select(DECISIONS).where(
        DECISIONS.c.case_id == case_id, DECISIONS.c.reading == (reading or "")
    )
    with room.read() as connection:
        rows = connection.execute(query.order_by(DECISIONS.c.created, DECISIONS.c.id)).mappings().all()
    return [_decision(dict(row)) for row in rows]


def _check(verdict: str, opinion: Opinion) -> None:
    reasons, comment = opinion["reasons"], opinion.get("comment", "")
    difficulty, seconds = opinion.get("difficulty"), opinion.get("seconds")
    unknown = [reason for reason in reasons if reason not in REASONS]
    wrong = {
        f"the verdict {verdict!r}; expected one of {', '.join(VERDICTS)}": verdict not in VERDICTS,
        f"the reasons {unknown}; expected some of {', '.join(REASONS)}": bool(unknown),
        f"no reason for {verdict!r}; name at least one": verdict in VERDICTS[1:] and not reasons,
        "the reason 'other' without a comment": "other" in reasons and not comment.strip(),
        f"the difficulty {difficulty}; expected 1 to 5": difficulty is not None
        and difficulty not in range(1, 6),
        f"{seconds} seconds; expected 0 to a day": seconds is not None and not 0 <= seconds <= 86400,
        f"a comment of {len(comment)} characters; expected at most {MAX_TEXT}": len(comment) > MAX_TEXT,
    }
    found = [what for what, is_wrong in wrong.items() if is_wrong]
    if found:
        raise DataError(f"a decision cannot be stored: {'; '.join(found)}")


def _store(connection: sql.Connection, decision: Decision, reading: str | None) -> None:
    values = asdict(decision) | {"reasons": list(decision.reasons)}
    connection.execute(sql.insert(DECISIONS).values(reading=reading or "", **values))
    if reading is None:
        state = {"state": decision.verdict, "updated": decision.created}
        connection.execute(sql.update(CASES).where(CASES.c.id == decision.case_id).values(**state))
    names = ("id", "verdict", "rev", "sha256", "reasons", "difficulty", "seconds")
    body = {name: values[name] for name in names} | ({"reading": reading} if reading else {})
    record(connection, decision.user, "decided", decision.case_id, body)


def _decision(row: dict[str, object]) -> Decision:
    del row["reading"]
    return Decision(**row | {"reasons": tuple(row["reasons"])})  # type: ignore[arg-type]
