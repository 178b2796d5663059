"""Second readings: several readers draw the same case, none sees the others', and one settles what differs.

A reading has its own versions and its own decision (`reading=` of `leases`, `versions` and `decisions`). The
first decision on it counts and closes it. Who decided on the case itself, before, is its first reader.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import numpy as np
import sqlalchemy as sql

from medunet.errors import ConfigError, DataError
from medunet.io.volume import Array
from medunet.review import agreement, leases, versions
from medunet.review.agreement import Agreement
from medunet.review.audit import record
from medunet.review.cases import Case, get_case
from medunet.review.decisions import Decision, Opinion, decide
from medunet.review.errors import Refused
from medunet.review.readings import (
    Reading,
    adjudications_of,
    cases_read_twice,
    mask_of,
    masks_of,
    reading_of,
    readings_of,
)
from medunet.review.room import Room
from medunet.review.tables_reading import ADJUDICATIONS, READINGS
from medunet.review.versions import Version

STARTS = ("model", "empty")
UNBIASED = ("model", "import")  # tools of a first version that no reader of this room has drawn
ALIKE_DICE = 0.9  # from here on, outlines are not worth settling, unless asked otherwise


class Choice(TypedDict, total=False):
    """What an adjudicator settles on: the id of a reading, or a mask of their own."""

    chosen: str | None
    mask: Array | None


@dataclass(frozen=True)
class Disagreement:
    """A case that readers see differently: the lowest Dice of two of them, and what each has decided."""

    case_id: str
    lowest_dice: float | None
    verdicts: dict[str, str]

    @property
    def verdicts_differ(self) -> bool:
        """Whether not all readers have decided the same."""
        return len(set(self.verdicts.values())) > 1


def assign(room: Room, case_id: str, reader: str, by: str, *, start: str = "model") -> str:
    """Ask somebody to read a case without seeing what others have made of it; return the reading's id.

    start: with the model's mask, or with an empty one, and then without seeing the model's. Refused where
    the reader has read or settled this case, DataError where there is no mask of a model to start with.
    """
    if start not in STARTS:
        raise ConfigError(f"start {start!r}: expected one of {', '.join(STARTS)}")
    known = [one.reader for one in readings_of(room, case_id)]
    if reader in [*known, *(one["adjudicator"] for one in adjudications_of(room, case_id))]:
        raise Refused(f"{reader} has read this case already; ask somebody else")
    reading = secrets.token_hex(8)
    versions.import_mask(room, case_id, _start(room, case_id, start), by, tool=start, reading=reading)
    row = {"reader": reader, "start": start, "assigned_by": by, "assigned": time.time()}
    with room.begin() as connection:
        connection.execute(sql.insert(READINGS).values(id=reading, case_id=case_id, **row))
        body = {"reading": reading, "reader": reader, "start": start}
        record(connection, by, "reading_assigned", case_id, body)
    return reading


def submit(
    room: Room, reading_id: str, reader: str, *, verdict: str, rev: int, **opinion: Unpack[Opinion]
) -> Decision:
    """Store a reader's verdict on version `rev` of their reading, and close it.

    Refused for others than its reader, and a second time; Conflict and DataError as of `decisions.decide`.
    """
    found = reading_of(room, reading_id)
    if found.reader != reader:
        raise Refused("this is the reading of somebody else")
    if found.submitted:
        raise Refused("this reading has been submitted, and what was found then stands")
    opinion["reading"] = reading_id
    return decide(room, found.case_id, user=reader, verdict=verdict, rev=rev, **opinion)


def agreement_of(room: Room, case_id: str) -> Agreement:
    """Return how far the readers of a case agree; DataError before two have submitted."""
    case, readings = get_case(room, case_id), readings_of(room, case_id)
    names, instances = _names(case)
    return agreement.of(masks_of(room, readings), names, case.spacing_mm, instances=instances)


def disagreements(room: Room, alike_dice: float = ALIKE_DICE) -> list[Disagreement]:
    """Return the cases to be settled, the worst first: all readings are submitted, and two of them differ.

    They differ where the verdicts do, or where a Dice is below `alike_dice`. It reads every mask of these
    cases: seconds for dozens of large ones.
    """
    found = []
    for case_id in cases_read_twice(room):
        readings = readings_of(room, case_id)
        done = [one.decision for one in readings if one.decision is not None]
        if len(done) < max(2, len(readings)) or adjudications_of(room, case_id):
            continue
        case = get_case(room, case_id)
        names, instances = _names(case)
        lowest = agreement.lowest_dice(masks_of(room, readings), list(names), instances=instances)
        one = Disagreement(case_id, lowest, {decision.user: decision.verdict for decision in done})
        if one.verdicts_differ or (lowest is not None and lowest < alike_dice):
            found.append(one)
    return sorted(found, key=lambda one: (one.lowest_dice is None, one.lowest_dice or 0.0))


def report(room: Room, case_ids: Sequence[str] | None = None, seed: int = 0) -> dict[str, Any]:
    """Return the agreement over the cases that two readers or more have submitted, as plain values.

    `pairs`: Dice and HD95 by pair of readers and label, with intervals over patients; `verdicts`: kappas.
    """
    cases, patients, verdicts = [], {}, {}
    for case_id in case_ids if case_ids is not None else cases_read_twice(room):
        done = [one.decision for one in readings_of(room, case_id) if one.decision is not None]
        if len(done) < 2:
            continue
        cases.append(agreement_of(room, case_id))
        patients[case_id] = get_case(room, case_id).patient or case_id
        verdicts[case_id] = {decision.user: decision.verdict for decision in done}
    kappas = agreement.of_verdicts(verdicts, patients, seed)
    return {
        "cases": len(cases),
        "pairs": agreement.over_cases(cases, list(patients.values()), seed),
        "verdicts": {name: kappa.as_json() for name, kappa in kappas.items()},
    }


def adjudicate(
    room: Room, case_id: str, adjudicator: str, reason: str, token: str = "", **choice: Unpack[Choice]
) -> Version:
    """Settle a case: a reader's mask, or one of the adjudicator's own, becomes its current version.

    With a reading goes its verdict; an own mask is accepted. token: of the lease where the adjudicator holds
    the case; else it is taken for the moment. Refused for who has read the case, and while somebody reads it;
    DataError unless exactly one thing is chosen, with a reason.
    """
    readings = {one.id: one for one in readings_of(room, case_id)}
    _check(readings, adjudicator, reason, choice)
    key, own = choice.get("chosen") or "", choice.get("mask")
    chosen = readings[key].decision if key else None
    mask = own if own is not None else mask_of(room, readings[key])
    verdict, reasons = (chosen.verdict, chosen.reasons) if chosen else ("accepted", ())
    held = token or leases.take(room, case_id, adjudicator).token
    try:
        base = get_case(room, case_id).rev
        about = versions.About(tool="adjudication", note=reason)
        version = versions.save(room, case_id, mask, user=adjudicator, token=held, base_rev=base, **about)
    finally:
        if not token:
            leases.drop(room, case_id, held)
    said = Opinion(reasons=reasons, comment=reason)
    decide(room, case_id, user=adjudicator, verdict=verdict, rev=version.rev, **said)
    row = {"chosen": key, "rev": version.rev, "reason": reason}
    made = row | {"id": secrets.token_hex(8), "created": time.time(), "adjudicator": adjudicator}
    with room.begin() as connection:
        connection.execute(sql.insert(ADJUDICATIONS).values(case_id=case_id, **made))
        record(connection, adjudicator, "adjudicated", case_id, row)
    return version


def _check(readings: dict[str, Reading], adjudicator: str, reason: str, choice: Choice) -> None:
    if adjudicator in [one.reader for one in readings.values()]:
        raise Refused("you have read this case yourself; somebody else has to settle it")
    if not readings or not all(one.submitted for one in readings.values()):
        raise Refused("not all readings of this case are submitted; wait for them")
    chosen, mask = choice.get("chosen"), choice.get("mask")
    wrong = {
        "no reason; say why in a few words": not reason.strip(),
        "expected either a reading that is chosen, or a mask": (chosen is None) == (mask is None),
        f"{str(chosen)[:16]!r} is no reading of this case": chosen is not None and chosen not in readings,
    }
    found = [what for what, is_wrong in wrong.items() if is_wrong]
    if found:
        raise DataError(f"the case cannot be settled: {'; '.join(found)}")


def _start(room: Room, case_id: str, start: str) -> Array:
    case = get_case(room, case_id)
    if start == "empty":
        return np.zeros(case.shape, np.uint16 if case.instances else np.uint8, order="F")
    drawn = versions.history(room, case_id)[:1]
    if not drawn or drawn[0].tool not in UNBIASED:
        raise DataError(f"case {case_id} has no mask of a model to start with; start with an empty one")
    return versions.mask_of(room, case_id, 1)


def _names(case: Case) -> tuple[dict[int, str], bool]:
    return {value: label.name for value, label in case.labels.items()}, case.instances
