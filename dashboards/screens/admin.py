"""Administration: who may enter, and whether the record of what was done is whole."""

from __future__ import annotations

import streamlit as st

from dashboards import here
from medunet.review import accounts, audit
from medunet.review.policy import ROLES


def page() -> None:
    """Show accounts and the audit."""
    here.need("audit")
    st.title("Administration")
    if here.may("manage"):
        _accounts()
    _audit()


def _accounts() -> None:
    room, user = here.desk().room, here.me()
    st.subheader("Accounts")
    known = accounts.users(room)
    st.dataframe(
        [{"Name": one.name, "Role": one.role, "May log in": one.active} for one in known], hide_index=True
    )
    with st.form("new", clear_on_submit=True, border=False):
        left, middle, right = st.columns(3)
        name = left.text_input("Name", max_chars=64)
        password = middle.text_input("Password", type="password")
        role = right.selectbox("Role", ROLES, index=ROLES.index("reviewer"))
        if st.form_submit_button("Add") and name:
            with here.told():
                accounts.add_user(room, name, password, role, user.name)
                st.rerun()
    if not known:
        return
    left, middle, right = st.columns(3, vertical_alignment="bottom")
    whom = left.selectbox("Account", [one.name for one in known], key="whom")
    to = middle.selectbox("New role", ROLES, key="to")
    with here.told():
        if right.button("Change the role", width="stretch"):
            accounts.set_role(room, whom, to, user.name)
            st.rerun()
        active = next(one.active for one in known if one.name == whom)
        if right.button("Lock the account" if active else "Open the account", width="stretch"):
            (accounts.deactivate if active else accounts.activate)(room, whom, user.name)
            st.rerun()


def _audit() -> None:
    st.subheader("Audit")
    st.write("Every change is a link of a chain; a link that was altered, added, moved or cut off is found.")
    if st.button("Verify the chain", key="verify"):
        with here.told():
            report = audit.verify(here.desk().room)
            if report.problems:
                st.error(f"{len(report.problems)} of {report.rows:,} rows are not as they were written.")
                st.dataframe([{"Row": n, "What": what} for n, what in report.problems], hide_index=True)
            else:
                st.success(f"All {report.rows:,} rows are as they were written.")
