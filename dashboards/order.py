"""Which cases come before and after the one on the screen: the worklist as it was filtered last."""

from __future__ import annotations

from typing import Any

import streamlit as st

from medunet.review.cases import Case, find_cases
from medunet.review.reader_study import hidden_cases
from medunet.review.readings import to_read
from medunet.review.room import Room

FILTER = "worklist"  # of the session state: what the worklist was filtered by
REACH = 500  # cases that are looked through for the neighbours


def remember(wanted: dict[str, Any]) -> None:
    """Keep how the worklist is filtered and ordered, for `neighbours`."""
    st.session_state[FILTER] = wanted


def wanted() -> dict[str, Any]:
    """Return how the worklist is filtered and ordered."""
    kept: dict[str, Any] = st.session_state.get(FILTER, {"state": "open"})
    return kept


def title_of(case: Case, *, named: bool) -> str:
    """Return what a case is called on a page: its name only for who may see it."""
    return case.name if named else f"Case {case.id[:6]}"


def unseen(room: Room, reader: str) -> set[str]:
    """Return the cases whose state a reader must not see: of a study, and those to be read blinded."""
    return hidden_cases(room, reader) | {one.case_id for one in to_read(room, reader)}


def neighbours(room: Room, case_id: str | None, reader: str) -> dict[str, str | None]:
    """Return the ids before and after a case; after one that has left the list, or none, comes its first."""
    hidden = unseen(room, reader)
    ids = [case.id for case in find_cases(room, limit=REACH, **wanted()) if case.id not in hidden]
    if case_id not in ids:
        return {"previous": None, "next": ids[0] if ids else None}
    at = ids.index(case_id)
    return {
        "previous": ids[at - 1] if at > 0 else None,
        "next": ids[at + 1] if at + 1 < len(ids) else None,
    }
