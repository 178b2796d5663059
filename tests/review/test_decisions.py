from __future__ import annotations

from typing import Any

import pytest

from medunet.errors import DataError
from medunet.review.audit import entries
from medunet.review.cases import add_case, get_case
from medunet.review.decisions import REASONS, decide, decisions_of
from medunet.review.errors import Conflict
from medunet.review.room import Room
from tests.review.conftest import mask, new_case, saved


def test_a_decision_is_kept_and_is_the_state_of_the_case(room: Room, case_id: str):
    version = saved(room, case_id, mask((0, 0, 0)), 0)
    first = decide(
        room,
        case_id,
        user="anna",
        verdict="needs_edit",
        rev=1,
        reasons=["boundary", "other"],
        difficulty=4,
        comment="see the tip",
        seconds=12.5,
    )
    assert (first.sha256, first.reasons, first.seconds) == (version.sha256, ("boundary", "other"), 12.5)
    assert get_case(room, case_id).state == "needs_edit"
    second = decide(room, case_id, user="ben", verdict="accepted", rev=1, reasons=())
    assert get_case(room, case_id).state == "accepted"
    assert decisions_of(room, case_id) == [first, second]
    told = [entry["body"]["verdict"] for entry in entries(room, case_id) if entry["action"] == "decided"]
    assert told == ["accepted", "needs_edit"]


def test_a_decision_on_an_old_version_is_a_conflict(room: Room, case_id: str):
    saved(room, case_id, mask((0, 0, 0)), 0)
    current = saved(room, case_id, mask((1, 0, 0)), 1)
    with pytest.raises(Conflict) as caught:
        decide(room, case_id, user="anna", verdict="accepted", rev=1, reasons=())
    assert (caught.value.rev, caught.value.sha256) == (2, current.sha256)
    assert decisions_of(room, case_id) == []
    assert get_case(room, case_id).state == "open"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": "maybe"}, "the verdict 'maybe'"),
        ({"verdict": "rejected"}, "no reason"),
        ({"verdict": "needs_edit"}, "no reason"),
        ({"reasons": ["ugly"]}, r"the reasons \['ugly'\]; expected some of boundary"),
        ({"reasons": ["other"]}, "without a comment"),
        ({"difficulty": 0}, "the difficulty 0"),
        ({"difficulty": 6}, "the difficulty 6"),
        ({"seconds": -1.0}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"comment": "x" * 4001}, "4001 characters"),
    ],
)
def test_what_is_no_decision_is_refused(file_room: Room, changes: dict[str, Any], said: str):
    case_id = add_case(file_room, new_case(), "anna")
    saved(file_room, case_id, mask((0, 0, 0)), 0)
    values: dict[str, Any] = {"verdict": "accepted", "reasons": []} | changes
    with pytest.raises(DataError, match=said):
        decide(file_room, case_id, user="anna", rev=1, **values)
    assert get_case(file_room, case_id).state == "open"


def test_an_image_without_a_mask_can_be_rejected_but_not_accepted(file_room: Room):
    case_id = add_case(file_room, new_case(), "anna")
    with pytest.raises(DataError, match="no mask to accept"):
        decide(file_room, case_id, user="anna", verdict="accepted", rev=0, reasons=())
    decide(file_room, case_id, user="anna", verdict="rejected", rev=0, reasons=["quality"])
    assert get_case(file_room, case_id).state == "rejected"


def test_a_second_reading_decides_for_itself(file_room: Room):
    case_id = add_case(file_room, new_case(), "anna")
    decide(file_room, case_id, user="ben", verdict="rejected", rev=0, reasons=["quality"], reading="r1")
    assert get_case(file_room, case_id).state == "open"
    assert decisions_of(file_room, case_id) == []
    assert [decision.user for decision in decisions_of(file_room, case_id, "r1")] == ["ben"]


def test_every_reason_has_words():
    assert all(code.isidentifier() and words for code, words in REASONS.items())
