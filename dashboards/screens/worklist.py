"""The worklist: what waits, the most urgent first, and who works on it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboards import here, order
from dashboards.screens import review
from medunet.review import accounts, second_read
from medunet.review.cases import ORDERS, SOURCES, STATES, Case, assign, count_cases, find_cases
from medunet.review.policy import allowed
from medunet.review.readings import to_read

PER_PAGE = 50
ANYBODY, NOBODY = "anybody", "nobody"
WORDS = {"open": "Open", "accepted": "Accepted", "rejected": "Rejected", "needs_edit": "Needs edit"}


def page() -> None:
    """Show the worklist, filtered, and open what is chosen."""
    user, room = here.need("view"), here.desk().room
    named = allowed(user.role, "see_identity")
    st.title("Worklist")
    _blinded()
    wanted = _filters(named)
    counts = count_cases(
        room, **{key: value for key, value in wanted.items() if key not in ("state", "order")}
    )
    state = st.segmented_control(
        "State",
        [*STATES],
        format_func=lambda one: f"{WORDS[one]} ({counts[one]})",
        default="open",
        key="state",
        label_visibility="collapsed",
    )
    wanted["state"] = state
    order.remember(wanted)
    total = counts[state] if state else sum(counts.values())
    if total == 0:
        st.info("No case fits. Add some with `medunet review add FOLDER`, or choose another filter.")
        return
    pages = -(-total // PER_PAGE)
    number = st.number_input("Page", 1, pages, key="page") if pages > 1 else 1
    hidden = order.unseen(room, user.name)
    found = find_cases(room, limit=PER_PAGE, offset=(number - 1) * PER_PAGE, **wanted)
    cases = [case for case in found if case.id not in hidden]
    if not cases:
        st.info(
            "You are to see the cases of this page without what others made of them, or in a reader study."
        )
        return
    here.desk().voxels.prepare(cases[0])  # it is opened next
    chosen = _table(cases, named)
    _actions(cases, chosen)


def _blinded() -> None:
    """Show which cases the reader has been asked to read without seeing what others made of them."""
    waiting = to_read(here.desk().room, here.me().name)
    if waiting:
        words = "a second reading" if len(waiting) == 1 else f"{len(waiting)} second readings"
        left, right = st.columns([5, 2], vertical_alignment="center")
        left.info(f"You are asked for {words}. What others have done stays hidden until all are through.")
        if right.button("Open the next one", key="blinded", width="stretch"):
            _open(waiting[0].case_id)


def _open(case_id: str) -> None:
    st.switch_page(st.Page(review.page, title="Review", url_path="review"), query_params={"case": case_id})


def _filters(named: bool) -> dict[str, Any]:
    """Return the arguments of find_cases that the reader chose."""
    columns = st.columns([2, 2, 2, 2, 3] if named else [2, 2, 2, 2])
    user = here.me()
    whose = columns[0].selectbox("Assigned to", [ANYBODY, user.name, NOBODY], key="whose")
    source = columns[1].selectbox("Source", [ANYBODY, *SOURCES], format_func=_any, key="source")
    by = columns[2].selectbox("Order", list(ORDERS), format_func=str.capitalize, key="order")
    flag = columns[3].text_input("Flag", key="flag", placeholder="any")
    text = columns[4].text_input("Name or patient", key="text", placeholder="any") if named else ""
    return {
        "assigned_to": {ANYBODY: None, NOBODY: ""}.get(whose, whose),
        "source": None if source == ANYBODY else source,
        "flag": flag.strip() or None,
        "text": text.strip() or None,
        "order": by,
    }


def _any(word: str) -> str:
    return "any" if word == ANYBODY else word.capitalize()


def _table(cases: list[Case], named: bool) -> list[int]:
    """Show the cases and return the rows that are chosen."""
    rows = [_row(case, named) for case in cases]
    event = st.dataframe(
        rows,
        key="cases",
        hide_index=True,
        height="content",
        on_select="rerun",
        selection_mode="multi-row",
        column_config={
            "Risk": st.column_config.ProgressColumn(min_value=0.0, max_value=1.0, format="%.2f"),
            "Uncertainty": st.column_config.NumberColumn(format="%.3f"),
            "Flags": st.column_config.ListColumn(),
            "Added": st.column_config.DatetimeColumn(format="D MMM, HH:mm"),
        },
    )
    chosen: list[int] = event["selection"]["rows"]
    return [row for row in chosen if row < len(cases)]


def _row(case: Case, named: bool) -> dict[str, Any]:
    return {
        "Case": order.title_of(case, named=named),
        "State": WORDS[case.state],
        "Modality": case.modality,
        "Size": " x ".join(str(n) for n in case.shape),
        "Risk": case.risk,
        "Uncertainty": case.uncertainty,
        "Flags": list(case.flags),
        "Synthetic": case.synthetic,
        "Version": case.rev,
        "Assigned to": case.assigned_to or "",
        "Added": datetime.fromtimestamp(case.added),
    }


def _actions(cases: list[Case], chosen: list[int]) -> None:
    """Open the first chosen case (or the first of all), or give the chosen ones to somebody."""
    first = cases[chosen[0] if chosen else 0]
    left, *others = st.columns([2, 3, 2, 2], vertical_alignment="bottom")
    word = "Open the chosen case" if chosen else "Start with the first case"
    if left.button(word, type="primary", key="open", width="stretch"):
        _open(first.id)
    if chosen and here.may("assign"):
        _give([cases[row] for row in chosen], others)


def _give(cases: list[Case], columns: list[DeltaGenerator]) -> None:
    room, me = here.desk().room, here.me().name
    names = [user.name for user in accounts.users(room) if user.active]
    to = columns[0].selectbox("Give to", [NOBODY, *names], key="give")
    if columns[1].button(f"Assign {len(cases)}", key="assign", width="stretch"):
        with here.told():
            assign(room, [case.id for case in cases], None if to == NOBODY else to, me)
            st.rerun()
    if columns[2].button("Ask for a second reading", key="second", width="stretch", disabled=to == NOBODY):
        for case in cases:
            with here.told():
                second_read.assign(room, case.id, to, me, start="model" if case.rev else "empty")
