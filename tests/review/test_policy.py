from __future__ import annotations

import pytest

from medunet.errors import ConfigError
from medunet.review.errors import Refused
from medunet.review.policy import ACTIONS, ROLES, User, actions_of, allowed, need

# The whole table, written again by hand: who changes one side must mean it.
TABLE = """
              viewer reviewer adjudicator admin
view             x      x         x         x
see_identity     -      x         x         x
comment          -      x         x         x
edit             -      x         x         x
decide           -      x         x         x
read_study       -      x         x         x
assign           -      -         x         x
adjudicate       -      -         x         x
add              -      -         -         x
export           -      -         -         x
run_study        -      -         x         x
audit            -      -         -         x
manage           -      -         -         x
"""
ROLES_IN_TABLE, *ROWS = [line.split() for line in TABLE.strip().splitlines()]


def test_the_table_is_complete():
    assert sorted(ROLES_IN_TABLE) == sorted(ROLES)
    assert [row[0] for row in ROWS] == list(ACTIONS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_role_may_do_what_the_table_says(row: list[str]):
    action, *marks = row
    for role, mark in zip(ROLES_IN_TABLE, marks, strict=True):
        assert allowed(role, action) == (mark == "x"), role
        assert (action in actions_of(role)) == (mark == "x"), role


def test_who_may_not_is_told_who_may():
    need(User("anna", "reviewer"), "edit")
    with pytest.raises(Refused, match="viewer may not change a mask; that is for: admin, reviewer"):
        need(User("ben", "viewer"), "edit")
    with pytest.raises(Refused):
        need(User("x", "nobody"), "view")
    with pytest.raises(ConfigError, match="unknown action"):
        allowed("admin", "fly")
