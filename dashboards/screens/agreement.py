"""Agreement: which cases were read twice, how far the readers agree, and what is left to settle."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboards import here, order
from medunet.review import second_read
from medunet.review.cases import get_case
from medunet.review.decisions import VERDICTS
from medunet.review.policy import allowed
from medunet.review.readings import cases_read_twice, readings_of


def page() -> None:
    """Show what is to be settled, and the agreement over all cases."""
    here.need("adjudicate")
    st.title("Agreement")
    room = here.desk().room
    if not cases_read_twice(room):
        st.info("No second reading yet. Choose cases in the worklist, and ask somebody for one.")
        return
    _to_settle()
    st.subheader("Over all cases that are read by two or more")
    if st.button("Work it out", key="report"):
        with here.told(), st.spinner("Comparing the readers' masks"):
            _report(second_read.report(room))


def _to_settle() -> None:
    room, user = here.desk().room, here.me()
    st.subheader("To be settled")
    with here.told():
        found = second_read.disagreements(room)
        if not found:
            st.caption("Nothing: readings wait to be submitted, or the readers agree.")
            return
        named = allowed(user.role, "see_identity")
        names = {one.case_id: order.title_of(get_case(room, one.case_id), named=named) for one in found}
        rows = [{"Case": names[one.case_id], "Lowest Dice": one.lowest_dice, **one.verdicts} for one in found]
        st.dataframe(rows, hide_index=True)
        case_id = st.selectbox("Case", list(names), format_func=names.__getitem__, key="settle")
        _settle(case_id, user.name)


def _settle(case_id: str, adjudicator: str) -> None:
    room = here.desk().room
    with st.form(f"settle-{case_id}", border=False):
        chosen = st.radio(
            "Whose mask becomes the current one",
            [one.id for one in readings_of(room, case_id)],
            format_func={one.id: one.reader for one in readings_of(room, case_id)}.__getitem__,
        )
        reason = st.text_input("Reason", max_chars=2000)
        if st.form_submit_button("Settle", type="primary"):
            second_read.adjudicate(room, case_id, adjudicator, reason, chosen=chosen)
            st.rerun()


def _report(found: dict[str, Any]) -> None:
    """Show tables of plain values as they come: one row a pair of readers and label, one a kappa."""
    for name, table in found.items():
        rows = _rows(table)
        if rows:
            st.markdown(f"**{name.replace('_', ' ').capitalize()}**")
            st.dataframe(rows, hide_index=True)
    st.caption(f"Verdicts are: {', '.join(VERDICTS)}. Intervals are 95 % over patients.")


def _rows(table: Any) -> list[dict[str, Any]]:
    if isinstance(table, dict):
        return [{"": key, **(row if isinstance(row, dict) else {"value": row})} for key, row in table.items()]
    return [row for row in table if isinstance(row, dict)] if isinstance(table, list) else []
