from __future__ import annotations

import pytest

from medunet.errors import DataError
from medunet.review.audit import entries
from medunet.review.comments import comment, comments_of, resolve
from medunet.review.room import Room


def test_comments_are_kept_and_settled_once(room: Room, case_id: str):
    first = comment(room, case_id, "anna", " here? ", (5, 4, 3))
    second = comment(room, case_id, "ben", "all fine")
    assert (first.text, first.voxel, second.voxel) == ("here?", (5, 4, 3), None)
    assert comments_of(room, case_id) == [first, second]
    done = resolve(room, first.id, "ben")
    assert done.resolved_by == "ben"
    assert resolve(room, first.id, "anna") == done
    assert comments_of(room, case_id) == [done, second]
    assert "here?" not in str(entries(room))  # words may name a patient; the audit names the comment


@pytest.mark.parametrize(
    ("text", "voxel", "rev"),
    [
        ("", None, 0),
        ("x" * 4001, None, 0),
        ("x", (6, 0, 0), 0),
        ("x", (0, -1, 0), 0),
        ("x", (0, 0), 0),
        ("x", None, 1),
    ],
)
def test_what_is_no_comment_is_refused(
    room: Room, case_id: str, text: str, voxel: tuple[int, ...] | None, rev: int
):
    with pytest.raises(DataError, match="a comment"):
        comment(room, case_id, "anna", text, voxel, rev)
    assert comments_of(room, case_id) == []


def test_unknown_comments_are_told(file_room: Room):
    with pytest.raises(DataError, match="no comment 'x'"):
        resolve(file_room, "x", "anna")
