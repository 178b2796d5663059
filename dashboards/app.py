"""The pages of the reading room, and which of them a role sees."""

from __future__ import annotations

import streamlit as st

from dashboards import here
from dashboards.screens import admin, agreement, review, study, worklist

ROOM = "<style>.stMainBlockContainer { padding: 4rem 1.5rem 1rem; }</style>"  # the picture needs the screen


def show() -> None:
    """Show the page that the address names."""
    st.set_page_config(page_title="medunet", layout="wide", initial_sidebar_state="collapsed")
    st.html(ROOM)
    user = here.me()
    pages = [
        st.Page(worklist.page, title="Worklist", default=True),
        st.Page(review.page, title="Review", url_path="review"),
    ]
    if here.may("read_study"):
        pages.append(st.Page(study.page, title="Reader study", url_path="study"))
    if here.may("adjudicate"):
        pages.append(st.Page(agreement.page, title="Agreement", url_path="agreement"))
    if here.may("audit"):
        pages.append(st.Page(admin.page, title="Administration", url_path="admin"))
    chosen = st.navigation(pages, position="top")
    with st.sidebar:
        st.caption(f"{user.title or user.name} ({user.role})")
        if not here.desk().single_user:
            st.link_button("Log out", "/logout")
    chosen.run()
