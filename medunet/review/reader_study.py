"""Reader studies: are synthetic images told from real ones? One way, blinded, in an order of their own.

A reader is told nothing of an item but its place: no case, no name. Who serves the image asks `case_of`, and
shows both kinds in the same way. The margin of equivalence is set when the study is made, and audited.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict, Unpack

import sqlalchemy as sql

from medunet.errors import DataError
from medunet.review.audit import record
from medunet.review.errors import Refused
from medunet.review.room import Room
from medunet.review.study_plan import Plan, order_of, plan
from medunet.review.study_result import Answer, result_of
from medunet.review.tables_reading import ANSWERS, ITEMS, STUDIES

ANSWERS_TO_GIVE = ("real", "synthetic")
REASONS = {
    "noise": "the noise or grain",
    "texture": "the texture of tissue",
    "edges": "edges and outlines",
    "anatomy": "the anatomy",
    "contrast": "brightness or contrast",
    "artefact": "an artefact",
    "repeats": "patterns that repeat",
    "impression": "the impression as a whole",
}


@dataclass(frozen=True)
class Study:
    """A reader study; `remarks` say what might tell the two kinds apart at a glance."""

    id: str
    name: str
    seed: int
    margin: float
    readers: tuple[str, ...]
    remarks: tuple[str, ...]
    created_by: str
    created: float
    closed: float | None


@dataclass(frozen=True)
class Item:
    """What is in front of a reader: the `place`-th of `of` images, without any hint at its kind."""

    id: str
    place: int
    of: int


class Reply(TypedDict, total=False):
    """What may come with an answer; `seconds` as the reader's browser has measured them."""

    reasons: Sequence[str]
    seconds: float | None


def create(
    room: Room,
    real_ids: Sequence[str],
    synthetic_ids: Sequence[str],
    readers: Sequence[str],
    *,
    by: str,
    **said: Unpack[Plan],
) -> str:
    """Make a study of as many real as synthetic cases, and return its id.

    said: name, seed (also stored) and margin, by default 0.1: 40 to 60 % right is as good as guessing. The
    longer list is cut by the seed. DataError for cases of the wrong kind, or that look different at a glance.
    """
    made = plan(room, real_ids, synthetic_ids, readers, said)
    study, now = secrets.token_hex(8), time.time()
    with room.begin() as connection:
        connection.execute(sql.insert(STUDIES).values(id=study, created_by=by, created=now, **made.study))
        rows = [
            {"id": secrets.token_hex(8), "study": study, "case_id": case, "synthetic": synthetic}
            for case, synthetic in made.kinds.items()
        ]
        connection.execute(sql.insert(ITEMS), rows)
        body = made.study | {"study": study, "cases": {case: int(kind) for case, kind in made.kinds.items()}}
        record(connection, by, "study_created", None, body)
    return study


def study_of(room: Room, study: str) -> Study:
    """Return a study; DataError where there is none with this id."""
    with room.read() as connection:
        return _study(connection, study)


def studies(room: Room, reader: str | None = None) -> list[Study]:
    """Return all studies, or those that somebody reads in, the newest first."""
    with room.read() as connection:
        rows = connection.execute(sql.select(STUDIES).order_by(STUDIES.c.created.desc())).mappings().all()
    found = [_of_row(row) for row in rows]
    return [one for one in found if reader is None or reader in one.readers]


def next_item(room: Room, study: str, reader: str) -> Item | None:
    """Return what a reader has to answer now: the same until it is answered; None when all is done.

    Refused for others than the study's readers, and when it has been closed.
    """
    with room.begin() as connection:
        _reads(connection, study, reader)
        order = _order(connection, study, reader)
        rows = connection.execute(_answers(study, reader)).mappings().all()
        for row in rows:
            if row["answered"] is None:
                return Item(row["item"], row["place"], len(order))
        if len(rows) == len(order):
            return None
        item = Item(order[len(rows)], len(rows) + 1, len(order))
        values = {"item": item.id, "place": item.place, "shown": time.time()}
        connection.execute(sql.insert(ANSWERS).values(study=study, reader=reader, **values))
    return item


def case_of(room: Room, study: str, reader: str, item: str) -> str:
    """Return the case of the item in front of a reader, for who serves its image; Refused for any other."""
    query = sql.select(ITEMS.c.case_id).join(ANSWERS, ANSWERS.c.item == ITEMS.c.id)
    shown = query.where(ANSWERS.c.item == item, ANSWERS.c.answered.is_(None), ANSWERS.c.reader == reader)
    with room.read() as connection:
        _reads(connection, study, reader)
        case = connection.scalar(shown.where(ANSWERS.c.study == study))
    if case is None:
        raise Refused("this image is not in front of you; go on with the next one")
    return str(case)


def hidden_cases(room: Room, reader: str) -> set[str]:
    """Return the cases of open studies that a reader has not finished: nothing of them may be shown."""
    found: set[str] = set()
    for study in studies(room, reader):
        if study.closed is None:
            with room.read() as connection:
                items = set(connection.scalars(sql.select(ITEMS.c.case_id).where(ITEMS.c.study == study.id)))
                rows = connection.execute(_answers(study.id, reader)).mappings().all()
            done = len(rows) == len(items) and all(row["answered"] is not None for row in rows)
            found |= set() if done else items
    return found


def answer(
    room: Room, study: str, reader: str, item: str, said: str, confidence: int, **reply: Unpack[Reply]
) -> None:
    """Store an answer, real or synthetic, for good, and how sure the reader is, from 1 to 5.

    The same answer again, as after a lost reply, changes nothing; another one is Refused, as is an answer to
    anything but the item in front of the reader. DataError for unknown words.
    """
    values = _checked(said, confidence, reply)
    with room.begin() as connection:
        _reads(connection, study, reader)
        row = connection.execute(_answers(study, reader).where(ANSWERS.c.item == item)).mappings().first()
        if row is None:
            raise Refused("this image is not in front of you; go on with the next one")
        if row["answered"] is not None:
            if (row["answer"], row["confidence"]) == (said, confidence):
                return
            raise Refused("this image has been answered, and answers are final; go on with the next one")
        where = ANSWERS.c.item == item, ANSWERS.c.reader == reader
        connection.execute(sql.update(ANSWERS).where(*where).values(answered=time.time(), **values))
        record(connection, reader, "study_answered", None, values | {"study": study, "item": item})


def close(room: Room, study: str, by: str) -> None:
    """End a study before all readers are done; its result then counts those who are."""
    with room.begin() as connection:
        if _study(connection, study).closed is None:
            now = {"closed": time.time()}
            connection.execute(sql.update(STUDIES).where(STUDIES.c.id == study).values(**now))
            record(connection, by, "study_closed", None, {"study": study})


def progress(room: Room, study: str) -> dict[str, int]:
    """Return how many images each reader has answered."""
    query = sql.select(ANSWERS.c.reader, sql.func.count()).where(
        ANSWERS.c.study == study, ANSWERS.c.answered.is_not(None)
    )
    with room.read() as connection:
        readers = _study(connection, study).readers
        counts = {name: int(n) for name, n in connection.execute(query.group_by(ANSWERS.c.reader))}
    return {reader: counts.get(reader, 0) for reader in readers}


def result(room: Room, study: str) -> dict[str, Any]:
    """Return the result of the readers who are done, as plain values with `words` (see `study_result`).

    Refused while somebody still reads: who looks early, and stops when it suits, finds what is not there.
    DataError where nobody is done.
    """
    done = progress(room, study)
    with room.read() as connection:
        found = _study(connection, study)
        items = connection.execute(
            sql.select(ITEMS.c.id, ITEMS.c.synthetic).where(ITEMS.c.study == study)
        ).all()
        rows = connection.execute(sql.select(ANSWERS).where(ANSWERS.c.study == study)).mappings().all()
    unfinished = [reader for reader, n in done.items() if n < len(items)]
    if unfinished and found.closed is None:
        raise Refused(
            f"{len(unfinished)} of {len(done)} readers are not done; wait for them, or close the study"
        )
    kinds = {row.id: row.synthetic for row in items}
    answers = [_answer(row, kinds) for row in rows if row["reader"] not in unfinished]
    if not answers:
        raise DataError(f"study {found.name}: nobody has answered all {len(items)} images; nothing to tell")
    about = asdict(found) | {"unfinished": unfinished}
    return {"study": about} | result_of(answers, found.margin, found.seed)


def _answer(row: Any, kinds: dict[str, bool]) -> Answer:
    names = ("reader", "item", "answer", "confidence", "seconds")
    return Answer(
        **{name: row[name] for name in names},
        synthetic=kinds[row["item"]],
        reasons=tuple(row["reasons"] or ()),
    )


def _checked(said: str, confidence: int, reply: Reply) -> dict[str, Any]:
    reasons, seconds = list(reply.get("reasons", ())), reply.get("seconds")
    wrong = {
        f"the answer {said!r}; expected one of {', '.join(ANSWERS_TO_GIVE)}": said not in ANSWERS_TO_GIVE,
        f"the confidence {confidence}; expected 1 to 5": confidence not in range(1, 6),
        f"the reasons {reasons}; expected some of {', '.join(REASONS)}": not set(reasons) <= set(REASONS),
        f"{seconds} seconds; expected 0 to a day": seconds is not None and not 0 <= seconds <= 86400,
    }
    found = [what for what, is_wrong in wrong.items() if is_wrong]
    if found:
        raise DataError(f"an answer cannot be stored: {'; '.join(found)}")
    return {"answer": said, "confidence": confidence, "reasons": reasons, "seconds": seconds}


def _order(connection: sql.Connection, study: str, reader: str) -> list[str]:
    """Return the items in the order in which this reader sees them."""
    query = sql.select(ITEMS.c.case_id, ITEMS.c.id).where(ITEMS.c.study == study)
    items = {row.case_id: row.id for row in connection.execute(query)}
    return [items[case] for case in order_of(_study(connection, study).seed, reader, items)]


def _answers(study: str, reader: str) -> sql.Select[Any]:
    query = sql.select(ANSWERS).where(ANSWERS.c.study == study, ANSWERS.c.reader == reader)
    return query.order_by(ANSWERS.c.place)


def _reads(connection: sql.Connection, study: str, reader: str) -> None:
    found = _study(connection, study)
    if reader not in found.readers:
        raise Refused("you are not a reader of this study")
    if found.closed is not None:
        raise Refused("this study has been closed")


def _study(connection: sql.Connection, study: str) -> Study:
    row = connection.execute(sql.select(STUDIES).where(STUDIES.c.id == study)).mappings().one_or_none()
    if row is None:
        raise DataError(f"there is no study {study[:16]!r} in this reading room; see: medunet review study")
    return _of_row(row)


def _of_row(row: Any) -> Study:
    return Study(**dict(row) | {"readers": tuple(row["readers"]), "remarks": tuple(row["remarks"])})
