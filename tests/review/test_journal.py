from __future__ import annotations

import pytest

from medunet.errors import DataError
from medunet.review import journal
from medunet.review.room import Room


def test_strokes_come_back_in_their_order_and_are_stored_once(room: Room, case_id: str):
    for seq in (1, 0, 2, 2):
        journal.append(room, case_id, "anna", 3, seq, bytes([seq, 255, 0]))
    journal.append(room, case_id, "ben", 3, 0, b"ben")
    journal.append(room, case_id, "anna", 4, 0, b"later")
    journal.append(room, case_id, "anna", 3, 0, b"second", reading="r1")
    assert journal.strokes(room, case_id, "anna", 3) == [b"\0\xff\0", b"\1\xff\0", b"\2\xff\0"]
    assert journal.strokes(room, case_id, "ben", 3) == [b"ben"]
    assert journal.strokes(room, case_id, "anna", 4) == [b"later"]
    assert journal.strokes(room, case_id, "anna", 3, reading="r1") == [b"second"]
    assert journal.strokes(room, case_id, "carl", 3) == []


def test_another_stroke_of_the_same_number_is_refused(room: Room, case_id: str):
    journal.append(room, case_id, "anna", 0, 0, b"a")
    with pytest.raises(DataError, match="another stroke 0"):
        journal.append(room, case_id, "anna", 0, 0, b"b")
    assert journal.strokes(room, case_id, "anna", 0) == [b"a"]


def test_strokes_after_a_gap_are_not_drawn(room: Room, case_id: str):
    for seq in (5, 6, 8):
        journal.append(room, case_id, "anna", 0, seq, bytes([seq]))
    assert journal.strokes(room, case_id, "anna", 0) == [b"\5", b"\6"]


def test_what_a_save_holds_is_cleared_and_no_more(room: Room, case_id: str):
    for seq in range(4):
        journal.append(room, case_id, "anna", 0, seq, bytes([seq]))
    journal.append(room, case_id, "ben", 0, 0, b"b")
    assert journal.clear(room, case_id, "anna", 0, up_to=1) == 2
    assert journal.strokes(room, case_id, "anna", 0) == [b"\2", b"\3"]
    assert journal.clear(room, case_id, "anna", 0) == 2
    assert journal.strokes(room, case_id, "ben", 0) == [b"b"]


@pytest.mark.parametrize(("seq", "size"), [(0, 4_000_001), (-1, 1), (100_000, 1)])
def test_a_stroke_that_is_too_large_is_refused(file_room: Room, seq: int, size: int):
    with pytest.raises(DataError, match="expected at most"):
        journal.append(file_room, "x", "anna", 0, seq, bytes(size))


def test_a_stroke_of_an_unknown_case_is_refused(file_room: Room):
    with pytest.raises(DataError, match="no case"):
        journal.append(file_room, "x", "anna", 0, 0, b"")
