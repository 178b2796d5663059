"""What every page asks first: which room this is, who sits in front of it, and may they."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from dashboards.desk import SECRET, Desk, desk_from
from medunet.errors import MedunetError
from medunet.review.policy import User, allowed


def desk() -> Desk:
    """Return the room of this server."""
    return desk_from(st.secrets[SECRET])


def me() -> User:
    """Return who has logged in, asked anew at every run: a session may end while its page is open."""
    session = st.user.to_dict().get("session")
    user = desk().who(session if isinstance(session, str) else None)
    if user is None:
        st.error("Nobody is logged in, or the session is over. Your saved work is safe.")
        st.link_button("Log in", "/login")
        st.stop()
    return user


def may(action: str) -> bool:
    """Tell whether who has logged in may do it."""
    return allowed(me().role, action)


def need(action: str) -> User:
    """Return who has logged in, or stop the page where their role does not allow it."""
    user = me()
    if not allowed(user.role, action):
        st.error(f"The role {user.role} may not see this page.")
        st.stop()
    return user


@contextmanager
def told() -> Iterator[None]:
    """Show on the page what went wrong, instead of ending it."""
    try:
        yield
    except MedunetError as error:
        st.error(str(error))
