"""Who may do what: one table, asked by every route, page and command."""

from __future__ import annotations

from dataclasses import dataclass

from medunet.errors import ConfigError
from medunet.review.errors import Refused

ROLES = ("admin", "reviewer", "adjudicator", "viewer")
ACTIONS = {
    "view": "see images, masks and the worklist, without names",
    "see_identity": "see names, paths and patients",
    "comment": "comment on a case",
    "edit": "change a mask",
    "decide": "accept or reject a mask, or send it back",
    "read_study": "answer in a reader study, and read a case a second time",
    "assign": "say who works on what",
    "adjudicate": "settle what two readers see differently, and see their agreement",
    "add": "add cases",
    "export": "export accepted masks",
    "run_study": "make reader studies and see their results",
    "audit": "read and verify the audit",
    "manage": "add and lock users",
}
_REVIEWER = frozenset({"view", "see_identity", "comment", "edit", "decide", "read_study"})
MAY: dict[str, frozenset[str]] = {
    "viewer": frozenset({"view"}),
    "reviewer": _REVIEWER,
    "adjudicator": _REVIEWER | {"assign", "adjudicate", "run_study"},
    "admin": frozenset(ACTIONS),
}


@dataclass(frozen=True)
class User:
    """Somebody who has logged in; `title` is the name to show."""

    name: str
    role: str
    title: str = ""


def allowed(role: str, action: str) -> bool:
    """Return whether a role may do it; an unknown role may nothing, an unknown action is a ConfigError."""
    if action not in ACTIONS:
        raise ConfigError(f"unknown action {action!r}; expected one of {', '.join(ACTIONS)}")
    return action in MAY.get(role, frozenset())


def need(user: User, action: str) -> None:
    """Refuse where a user's role does not allow it."""
    if not allowed(user.role, action):
        roles = ", ".join(role for role in ROLES if allowed(role, action))
        raise Refused(f"the role {user.role} may not {ACTIONS[action]}; that is for: {roles}")


def actions_of(role: str) -> list[str]:
    """Return all that a role may do, in the order of the table."""
    return [action for action in ACTIONS if allowed(role, action)]
