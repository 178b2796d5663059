"""Where an exported mask comes from: its versions, who accepted it, and the row of the audit that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sql

from medunet.errors import DataError
from medunet.review.audit import entries
from medunet.review.cases import Case
from medunet.review.decisions import Decision, decisions_of
from medunet.review.room import Room
from medunet.review.tables import CASES
from medunet.review.versions import history

VERSION_KEYS = ("rev", "sha256", "parent_sha256", "author", "tool", "changed_voxels", "created")
DECISION_KEYS = ("id", "user", "verdict", "rev", "sha256", "difficulty", "seconds", "created")


def lineage_of(room: Room, case: Case) -> dict[str, Any]:
    """Return what is known of a case's current mask; DataError where nobody has accepted that version."""
    versions = history(room, case.id)
    decision = acceptance_of(room, case)
    (row,) = entries(room, case.id, 1)
    return {
        "id": case.id,
        "source": case.source,
        "synthetic": case.synthetic,
        "model": case.model,
        "image_sha256": case.image_sha256,
        "rev": case.rev,
        "mask_sha256": decision.sha256,
        "author": versions[-1].author,
        "versions": [_some(asdict(version), VERSION_KEYS) for version in versions],
        "decision": _some(asdict(decision), DECISION_KEYS),
        "audit": {"n": row["n"], "digest": row["digest"]},  # the newest row of the case
        **{key: case.facts[key] for key in ("parents", "generator_sha256") if key in case.facts},
    }


def acceptance_of(room: Room, case: Case) -> Decision:
    """Return the decision that accepted the current version of a mask; DataError if there is none."""
    for decision in reversed(decisions_of(room, case.id)):
        if decision.verdict == "accepted" and decision.rev == case.rev:
            return decision
    raise DataError(f"case {case.id}: nobody has accepted version {case.rev} of its mask. Decide on it first")


def first_of_patients(room: Room) -> dict[str, str]:
    """Return patient -> id of the case of that patient that was added first."""
    query = sql.select(CASES.c.patient, CASES.c.id).where(CASES.c.patient.is_not(None))
    first: dict[str, str] = {}
    with room.read() as connection:
        for patient, case_id in connection.execute(query.order_by(CASES.c.added, CASES.c.id)):
            first.setdefault(str(patient), str(case_id))
    return first


def _some(values: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: values[key] for key in keys}
