"""In which order cases are looked at, and how far a reading room has come.

Priority is a whole number; the highest is first. With r the risk and u the uncertainty, both between 0 and 1,

    priority = 10000 * raised + round(1000 * (1 - (1 - r) * (1 - u / 2)))

r: the risk that `medunet studies` gave (its flags are in it already); without one, that of the flags,
1 - (1 - w1) * (1 - w2) * ..., by the weights below, which are those of studies' quality control where it has
a range the middle of it; with neither risk, uncertainty nor flag, 0.5: what nobody has judged comes before
what was found sound. u: the mean of the uncertainty map inside the mask; it counts half, for it is high at
every border. raised: whole steps that the user gives; a case that was raised comes before all that were not.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sql

from medunet.review.cases import count_cases
from medunet.review.room import Room
from medunet.review.tables import CASES, DECISIONS, VERSIONS

STEP, RAISED = 1000, 10_000
UNJUDGED = 0.5
UNCERTAINTY_SHARE = 0.5
WEIGHTS = {
    "empty": 0.9,
    "missing": 0.6,
    "no_mask": 0.6,
    "volume": 0.5,
    "fragmented": 0.4,
    "cut": 0.4,
    "spacing": 0.4,
    "intensity": 0.4,
    "field_of_view": 0.35,
    "series": 0.2,
    "reading": 0.1,
}
OTHER_WEIGHT = 0.3  # of a flag that is not listed


def priority_of(
    risk: float | None, uncertainty: float | None, flags: Iterable[str] = (), *, raised: int = 0
) -> int:
    """Return the priority of a case; see above.

    >>> priority_of(0.6, None), priority_of(None, None, ["empty"]), priority_of(0.0, 0.2)
    (600, 900, 100)
    >>> priority_of(None, None) > priority_of(0.1, None)
    True
    """
    doubt = _doubt(risk, uncertainty, tuple(flags))
    calm = (1.0 - doubt) * (1.0 - UNCERTAINTY_SHARE * (uncertainty or 0.0))
    return RAISED * raised + round(STEP * (1.0 - calm))


def _doubt(risk: float | None, uncertainty: float | None, flags: tuple[str, ...]) -> float:
    if risk is not None:
        return risk
    if flags:
        return 1.0 - math.prod(1.0 - WEIGHTS.get(flag, OTHER_WEIGHT) for flag in flags)
    return UNJUDGED if uncertainty is None else 0.0


@dataclass(frozen=True)
class ReaderWork:
    """What one reader has done: decisions by verdict, and the seconds spent on one."""

    accepted: int
    rejected: int
    needs_edit: int
    median_seconds: float | None
    saves: int


def progress(room: Room) -> dict[str, Any]:
    """Return how far a room has come: cases by state, by source and by reader, and what readers have done."""
    by = {"source": CASES.c.source, "assigned_to": CASES.c.assigned_to}
    with room.read() as connection:
        tables = {
            name: connection.execute(
                sql.select(column, CASES.c.state, sql.func.count()).group_by(column, CASES.c.state)
            ).all()
            for name, column in by.items()
        }
        said = connection.execute(
            sql.select(DECISIONS.c.user, DECISIONS.c.verdict, DECISIONS.c.seconds)
        ).all()
        saves: dict[str, int] = {
            author: int(count)
            for author, count in connection.execute(
                sql.select(VERSIONS.c.author, sql.func.count())
                .where(VERSIONS.c.tool.not_in(("model", "import")))
                .group_by(VERSIONS.c.author)
            )
        }
    readers = sorted({row.user for row in said} | saves.keys())
    return {
        "cases": count_cases(room),
        "by_source": _nested(tables["source"]),
        "by_reader": _nested(tables["assigned_to"]),
        "readers": {name: vars(_work(name, said, saves)) for name in readers},
    }


def _work(name: str, said: Sequence[Any], saves: Mapping[str, int]) -> ReaderWork:
    mine = [row for row in said if row.user == name]
    verdicts = Counter(row.verdict for row in mine)
    seconds = [row.seconds for row in mine if row.seconds is not None]
    middle = round(statistics.median(seconds), 1) if seconds else None
    return ReaderWork(
        accepted=verdicts["accepted"],
        rejected=verdicts["rejected"],
        needs_edit=verdicts["needs_edit"],
        median_seconds=middle,
        saves=saves.get(name, 0),
    )


def _nested(rows: Iterable[Any]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for key, state, count in rows:
        found.setdefault(key or "nobody", {})[state] = int(count)
    return found
