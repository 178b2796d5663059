"""One case: the viewer, and beside it what the reader decides."""

from __future__ import annotations

import time

import streamlit as st

from dashboards import here, order, viewer
from medunet.errors import DataError
from medunet.review import comments, decisions, journal, second_read, versions
from medunet.review.cases import Case, get_case
from medunet.review.policy import User, actions_of, allowed
from medunet.review.reader_study import hidden_cases
from medunet.review.readings import sight

VERDICTS = {"accepted": "Accept", "needs_edit": "Needs edit", "rejected": "Reject"}
SHOWN = 8  # versions and comments at a time
KEY = "viewer"


def page() -> None:
    """Show the case of the address, or the next one of the worklist."""
    user, desk = here.need("view"), here.desk()
    case = _case()
    around = st.session_state["around"]
    if around["next"] is not None:
        desk.voxels.prepare(get_case(desk.room, around["next"]))
    _viewer(case, user, around)
    with st.sidebar:  # the viewer decides with its own keys; here is what it has no room for
        _panel(case.id)


def _case() -> Case:
    room = here.desk().room
    me = here.me().name
    wanted = st.query_params.get("case") or order.neighbours(room, None, me)["next"]
    if wanted is None:
        st.info("Nothing waits. Choose other filters in the worklist, or add cases.")
        st.stop()
    try:
        case = None if wanted in hidden_cases(room, me) else get_case(room, wanted)
    except DataError:
        case = None
    if case is None:
        st.error("There is no such case. Open one from the worklist.")
        st.stop()
    if st.session_state.get("opened") != case.id:
        around = order.neighbours(room, case.id, me)  # of now: once decided, the case may leave the list
        st.session_state.update(opened=case.id, opened_at=time.time(), around=around)
    st.query_params["case"] = case.id
    return case


def _viewer(case: Case, user: User, around: dict[str, str | None]) -> None:
    if not viewer.is_built():
        st.error("The viewer is not built. In a clone: `cd dashboards/viewer && npm ci && npm run build`.")
        return
    viewer.viewer()(
        key=KEY,
        data={"case": case.id, "api": "/api/v1", "can": actions_of(user.role), "queue": around},
        on_decided_change=_after_decision,
        on_go_change=_go,
        on_saved_change=_nothing,
    )


def _after_decision() -> None:
    """Go on to the next case once the viewer has stored a decision."""
    open_case(st.session_state["around"]["next"])


def _go() -> None:
    """Open the case that the viewer asks for."""
    asked = st.session_state[KEY].get("go") or {}
    open_case(asked.get("case") if isinstance(asked, dict) else None)


def _nothing() -> None:
    """A save changes what the panel shows; the run that follows draws it anew."""


def open_case(case_id: str | None) -> None:
    """Name a case in the address, or none: then the page opens the first that waits."""
    if case_id is None:
        st.query_params.pop("case", None)
    else:
        st.query_params["case"] = case_id


@st.fragment
def _panel(case_id: str) -> None:
    """Show who did what with a case, and store what the reader decides."""
    user, room = here.me(), here.desk().room
    case, seen = get_case(room, case_id), sight(room, case_id, user.name)
    past = versions.history(room, case_id, seen.reading)
    rev = past[-1].rev if past else 0
    st.subheader(order.title_of(case, named=allowed(user.role, "see_identity")))
    marks = ["second reading, blinded" if seen.reading else case.state.replace("_", " "), f"version {rev}"]
    st.caption(" · ".join([*marks, *(["synthetic"] if case.synthetic else [])]))
    if allowed(user.role, "decide"):
        _decide(case, seen.reading, rev)
    if allowed(user.role, "comment") and seen.others:
        _comment(case)
    with st.expander("History"):
        for made in reversed(past[-SHOWN:]):
            st.caption(f"{made.rev}: {made.author}, {made.tool}, {made.changed_voxels:,} voxels changed")
        for done in reversed(decisions.decisions_of(room, case.id, seen.reading)[-SHOWN:]):
            words = ", ".join(decisions.REASONS.get(code, code) for code in done.reasons)
            st.caption(f"{done.user}: {done.verdict.replace('_', ' ')} {words}")


def _decide(case: Case, reading: str | None, rev: int) -> None:
    with st.form(f"decide-{case.id}", border=False):
        verdict = st.radio("Decision", list(VERDICTS), format_func=VERDICTS.__getitem__, horizontal=True)
        reasons = st.multiselect(
            "Reasons", list(decisions.REASONS), format_func=decisions.REASONS.__getitem__
        )
        difficulty = st.select_slider(
            "Difficulty", [None, 1, 2, 3, 4, 5], format_func=lambda n: str(n or "-")
        )
        words = st.text_area("Comment", height=68, max_chars=2000)
        sent = st.form_submit_button("Store", type="primary", width="stretch")
    if not sent:
        return
    room, name = here.desk().room, here.me().name
    if journal.strokes(room, case.id, name, rev, reading=reading):
        st.error("There are strokes that are not saved. Save them in the viewer first.")
        return
    spent = round(time.time() - st.session_state["opened_at"], 1)
    opinion = decisions.Opinion(
        reasons=reasons, difficulty=difficulty, comment=words, seconds=min(spent, 86400.0)
    )
    with here.told():
        if reading is None:
            decisions.decide(room, case.id, user=name, verdict=verdict, rev=rev, **opinion)
        else:
            second_read.submit(room, reading, name, verdict=verdict, rev=rev, **opinion)
        open_case(st.session_state["around"]["next"])
        st.rerun()


def _comment(case: Case) -> None:
    room, name = here.desk().room, here.me().name
    said = [one for one in comments.comments_of(room, case.id) if one.resolved is None]
    with st.expander(f"Comments ({len(said)})"):
        for one in said[-SHOWN:]:
            place = "" if one.voxel is None else f" at {', '.join(map(str, one.voxel))}"
            st.caption(f"{one.user}{place}")
            st.text(one.text)
            if st.button("Settled", key=f"settle-{one.id}"):
                comments.resolve(room, one.id, name)
                st.rerun(scope="fragment")
        with st.form(f"comment-{case.id}", border=False, clear_on_submit=True):
            text = st.text_area("New comment", height=68, max_chars=2000)
            if st.form_submit_button("Add") and text.strip():
                with here.told():
                    comments.comment(room, case.id, name, text.strip(), None, case.rev)
                    st.rerun(scope="fragment")
