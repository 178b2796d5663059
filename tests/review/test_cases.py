from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from medunet.errors import DataError
from medunet.review.audit import entries
from medunet.review.cases import NewCase, add_case, assign, count_cases, find_cases, get_case, known_case
from medunet.review.room import Room
from tests.review.conftest import mask, new_case, saved


def names(room: Room, **wanted: Any) -> list[str]:
    return [case.name for case in find_cases(room, **wanted)]


def test_a_case_comes_back_as_it_was_added(room: Room):
    new = new_case(
        risk=0.25,
        uncertainty=0.5,
        priority=3,
        flags=("small", "edge"),
        facts={"qc": {"volume_ml": 1.5}},
        patient="P1",
        uncertainty_map="/u.nii.gz",
        model="runs/a",
        synthetic=True,
    )
    case = get_case(room, add_case(room, new, "anna"))
    assert NewCase(**{one.name: getattr(case, one.name) for one in fields(NewCase)}) == new
    assert (case.state, case.rev, case.assigned_to, len(case.id)) == ("open", 0, None, 16)


def test_the_same_case_is_added_once_and_takes_new_places(room: Room):
    first = add_case(room, new_case(), "anna")
    assert known_case(room, new_case()) == first
    assert known_case(room, new_case(1)) is None
    saved(room, first, mask((1, 1, 1)), 0)
    assert add_case(room, new_case(images=("/moved.nii.gz",), name="other"), "ben") == first
    case = get_case(room, first)
    assert (case.images, case.name, case.rev) == (("/moved.nii.gz",), "Smith_0", 1)
    others = [new_case(1), new_case(source="predictions"), new_case(model="runs/b")]
    assert len({first, *(add_case(room, other, "anna") for other in others)}) == 4
    actions = [entry["action"] for entry in entries(room, first)]
    assert actions == ["case_moved", "mask_saved", "case_added"]


def test_unknown_ids_are_told(room: Room):
    with pytest.raises(DataError, match="no case 'x'"):
        get_case(room, "x")


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "mail"},
        {"images": ()},
        {"dims": 2},
        {"shape": (1, 0, 3)},
        {"labels": {0: None}},
        {"dims": 4, "shape": (1,) * 4, "spacing_mm": (1.0,) * 4},
        {"dims": 0, "shape": (), "spacing_mm": ()},
    ],
)
def test_what_could_not_be_shown_is_refused(file_room: Room, changes: dict[str, Any]):
    with pytest.raises(DataError, match="cannot be reviewed"):
        add_case(file_room, new_case(**changes), "anna")
    assert sum(count_cases(file_room).values()) == 0


def test_the_worklist_is_ordered_filtered_and_counted(room: Room):
    ids = [
        add_case(room, new_case(0, priority=1, risk=0.9, flags=("small",)), "anna"),
        add_case(
            room, new_case(1, priority=5, uncertainty=0.1, source="studies", patient="100%_Miller"), "anna"
        ),
        add_case(room, new_case(2, priority=1, risk=0.1, uncertainty=0.2, labels={}), "anna"),
    ]
    assert names(room) == ["Smith_1", "Smith_0", "Smith_2"]
    assert names(room, order="risk") == ["Smith_0", "Smith_2", "Smith_1"]
    assert names(room, order="uncertainty") == ["Smith_2", "Smith_1", "Smith_0"]
    assert names(room, order="added", limit=1, offset=1) == ["Smith_1"]
    assert names(room, flag="small") == names(room, text="smith_0") == ["Smith_0"]
    assert names(room, label="organ") == ["Smith_1", "Smith_0"]
    assert names(room, source="studies") == names(room, text="%_mill") == ["Smith_1"]
    assert names(room, text="_%") == []
    assert assign(room, ids[:2], "ben", "anna") == 2
    assert assign(room, ids[:1], "ben", "anna") == 0
    assert assign(room, ids[:1], None, "anna") == 1
    assert names(room, assigned_to="ben") == ["Smith_1"]
    assert names(room, assigned_to="") == ["Smith_0", "Smith_2"]
    assert count_cases(room, label="organ") == {"open": 2, "accepted": 0, "rejected": 0, "needs_edit": 0}


def test_an_assignment_to_one_unknown_case_changes_nothing(room: Room, case_id: str):
    with pytest.raises(DataError):
        assign(room, [case_id, "x"], "ben", "anna")
    assert get_case(room, case_id).assigned_to is None


def test_nothing_of_a_patient_is_in_an_id_or_the_audit(file_room: Room, tmp_path: Path):
    case_id = add_case(file_room, new_case(patient="Miller", images=("/scans/Miller.nii.gz",)), "anna")
    text = str(entries(file_room)) + case_id
    assert "Miller" not in text
    assert "Smith" not in text
