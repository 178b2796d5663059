from __future__ import annotations

import time

import pytest

from medunet.errors import DataError
from medunet.review import leases
from medunet.review.errors import Refused
from medunet.review.room import Room


def test_one_holds_a_case_and_others_are_told_who(room: Room, case_id: str):
    lease = leases.take(room, case_id, "anna")
    assert lease.until == pytest.approx(time.time() + 90, abs=30)
    with pytest.raises(Refused, match="anna is editing") as caught:
        leases.take(room, case_id, "ben")
    assert (caught.value.holder, caught.value.until) == ("anna", lease.until)
    held = leases.holder(room, case_id)
    assert held is not None
    assert (held.user, held.token) == ("anna", "")
    leases.drop(room, case_id, "wrong")
    assert leases.holder(room, case_id) is not None
    leases.drop(room, case_id, lease.token)
    assert leases.holder(room, case_id) is None
    assert leases.take(room, case_id, "ben").user == "ben"


def test_another_tab_of_the_same_user_takes_over(room: Room, case_id: str):
    first, second = (leases.take(room, case_id, "anna") for _ in range(2))
    with pytest.raises(Refused, match="has taken this case"):
        leases.renew(room, case_id, first.token)
    assert leases.renew(room, case_id, second.token).token == second.token


def test_a_lease_that_ended_can_be_taken_or_renewed_by_who_comes_first(room: Room, case_id: str):
    lease = leases.take(room, case_id, "anna", seconds=-1)
    assert leases.holder(room, case_id) is None
    assert leases.renew(room, case_id, lease.token, seconds=-1).user == "anna"
    leases.take(room, case_id, "ben")
    with pytest.raises(Refused, match="ben has taken"):
        leases.renew(room, case_id, lease.token)


def test_second_readings_have_leases_of_their_own(room: Room, case_id: str):
    leases.take(room, case_id, "anna")
    assert leases.take(room, case_id, "ben", reading="r1").user == "ben"
    with pytest.raises(DataError):
        leases.take(room, "x", "anna")
    with pytest.raises(Refused, match="nobody holds"):
        leases.renew(room, case_id, "t", reading="r2")
