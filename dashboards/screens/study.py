"""Reader studies: are synthetic images told from real ones? One image at a time, one way."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from dashboards import here, viewer
from medunet.review import accounts, reader_study
from medunet.review.cases import find_cases
from medunet.review.reader_study import Item, Study
from medunet.review.study_plan import Plan

KINDS = (False, True)  # real, synthetic
MOST = 1000  # cases of a study's two kinds


def page() -> None:
    """Show the image to judge, and to who runs studies what came out."""
    user = here.need("read_study")
    st.title("Reader study")
    mine = [one for one in reader_study.studies(here.desk().room, user.name) if one.closed is None]
    if mine:
        _read(mine)
    elif not here.may("run_study"):
        st.info("No study asks for you.")
    if here.may("run_study"):
        _run()


def _read(studies: list[Study]) -> None:
    names = {one.id: one.name for one in studies}
    study = st.selectbox("Study", list(names), format_func=names.__getitem__, key="study") or studies[0].id
    with here.told():
        item = reader_study.next_item(here.desk().room, study, here.me().name)
        if item is None:
            st.success("You have judged all images of this study. Thank you.")
            return
        st.progress(item.place / item.of, f"Image {item.place} of {item.of}")
        left, right = st.columns([5, 1.4])
        with left:
            if viewer.is_built():
                data = {"case": item.id, "api": f"/api/v1/studies/{study}", "can": [], "queue": {}}
                viewer.viewer()(key="study-viewer", data=data)
            else:
                st.error("The viewer is not built.")
        with right:
            _answer(study, item)


def _answer(study: str, item: Item) -> None:
    """Ask what the image is; an answer is final."""
    if st.session_state.get("judging") != item.id:
        st.session_state.update(judging=item.id, judging_since=time.time())
    with st.form(f"judge-{item.id}", border=False):
        said = st.radio("This image is", reader_study.ANSWERS_TO_GIVE, format_func=str.capitalize, index=None)
        sure = st.select_slider("How sure (1 guessing, 5 certain)", [1, 2, 3, 4, 5], value=3)
        words = reader_study.REASONS
        reasons = st.multiselect("Because of", list(words), format_func=words.__getitem__)
        sent = st.form_submit_button("Answer, for good", type="primary", width="stretch")
    if sent and said is None:
        st.error("Choose real or synthetic.")
    elif sent and said is not None:
        spent = min(round(time.time() - st.session_state["judging_since"], 1), 86400.0)
        reply = reader_study.Reply(reasons=reasons, seconds=spent)
        reader_study.answer(here.desk().room, study, here.me().name, item.id, said, sure, **reply)
        st.rerun()


def _run() -> None:
    room = here.desk().room
    with st.expander("Studies and results", expanded=True):
        studies = reader_study.studies(room)
        if not studies:
            st.caption("None yet.")
        for one in studies:
            done = ", ".join(
                f"{reader} {count}" for reader, count in reader_study.progress(room, one.id).items()
            )
            st.markdown(f"**{one.name}**")
            st.caption(f"Answered: {done}. Margin {one.margin:g}, seed {one.seed}.")
            for remark in one.remarks:
                st.caption(f"Note: {remark}")
            left, right = st.columns(2)
            if one.closed is None and right.button("Close the study", key=f"close-{one.id}"):
                reader_study.close(room, one.id, here.me().name)
                st.rerun()
            if left.button("Show the result", key=f"result-{one.id}"):
                with here.told():
                    _result(reader_study.result(room, one.id))
    with st.expander("New study"):
        _new()


def _result(found: dict[str, Any]) -> None:
    for sentence in found["words"]:
        st.write(sentence)
    st.json(found, expanded=False)


def _new() -> None:
    room = here.desk().room
    cases = find_cases(room, order="added", limit=MOST)
    modalities = sorted({case.modality for case in cases if case.synthetic})
    if not modalities:
        st.caption("There are no synthetic cases. Add a set with `medunet review add FOLDER`.")
        return
    with st.form("new-study", border=False):
        name = st.text_input("Name", max_chars=64)
        modality = st.selectbox("Modality", modalities)
        readers = st.multiselect("Readers", [one.name for one in accounts.users(room) if one.active])
        left, right = st.columns(2)
        margin = left.number_input("Margin of equivalence", 0.01, 0.49, 0.10)
        seed = right.number_input("Seed", 0, value=0)
        if st.form_submit_button("Make the study", type="primary"):
            real, fake = (
                [c.id for c in cases if c.modality == modality and c.synthetic is kind] for kind in KINDS
            )
            said = Plan(name=name, margin=float(margin), seed=int(seed))
            with here.told():
                reader_study.create(room, real, fake, readers, by=here.me().name, **said)
                st.rerun()
