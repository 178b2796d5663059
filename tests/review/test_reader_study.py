"""A reader study in a real room: balanced, blinded, one way, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sql

from medunet.errors import ConfigError, DataError
from medunet.review import reader_study
from medunet.review.audit import verify
from medunet.review.cases import LabelInfo, NewCase, add_case, get_case
from medunet.review.errors import Refused
from medunet.review.room import Room
from medunet.review.study_plan import order_of
from medunet.review.tables import AUDIT

NEW = NewCase(
    "patient Miller", "folder", ("/scans/miller.nii.gz",), "", "MR", 3, (8, 8, 8), (1.0, 1.0, 1.0),
    {1: LabelInfo("hippocampus", "#ff0000")},
)  # fmt: skip


def cases(room: Room, n: int, *, synthetic: bool, **other) -> list[str]:
    kind = "synthetic" if synthetic else "folder"
    return [
        add_case(
            room, replace(NEW, source=kind, image_sha256=f"{kind}{i}", synthetic=synthetic, **other), "me"
        )
        for i in range(n)
    ]


@pytest.fixture
def study(room) -> str:
    arms = cases(room, 4, synthetic=False), cases(room, 6, synthetic=True)
    return reader_study.create(room, *arms, ["anna", "ben"], by="me", seed=7, margin=0.2)


def read(room: Room, study: str, reader: str, say: str = "real") -> list[str]:
    """Answer all that is left; return the cases in the order in which they came."""
    seen = []
    while (item := reader_study.next_item(room, study, reader)) is not None:
        seen.append(reader_study.case_of(room, study, reader, item.id))
        reader_study.answer(room, study, reader, item.id, say, 3, reasons=["edges"], seconds=4.0)
    return seen


def kinds(room: Room, seen: list[str]) -> list[bool]:
    return [get_case(room, case).synthetic for case in seen]


def test_every_reader_sees_as_many_of_each_kind_in_an_order_of_their_own(room, study) -> None:
    anna, ben = read(room, study, "anna"), read(room, study, "ben")
    assert set(anna) == set(ben)
    assert len(set(anna)) == 8
    assert anna != ben
    assert anna == order_of(7, "anna", ben)
    found = reader_study.study_of(room, study)
    assert any("2 cases were left out" in remark for remark in found.remarks)
    assert any("too few" in remark for remark in found.remarks)
    again = cases(room, 4, synthetic=False), cases(room, 6, synthetic=True)
    other = reader_study.create(room, *again, ["anna"], by="me", seed=7)
    assert read(room, other, "anna") == anna  # the seed is all there is


def test_an_order_is_the_same_for_ever() -> None:
    """sha256sum of 3/anna/a to 3/anna/e: 4b0c, 9ef0, 7830, 721a, d36f. Another order: another study."""
    assert order_of(3, "anna", "abcde") == order_of(3, "anna", "edcba")
    assert "".join(order_of(3, "anna", "abcde")) == "adcbe"
    assert order_of(3, "ben", "abcde") != order_of(3, "anna", "abcde")


def test_an_item_stays_until_it_is_answered_and_then_never_comes_back(room, study) -> None:
    first = reader_study.next_item(room, study, "anna")
    assert first is not None
    assert reader_study.next_item(room, study, "anna") == first
    assert (first.place, first.of) == (1, 8)
    reader_study.answer(room, study, "anna", first.id, "synthetic", 5)
    reader_study.answer(room, study, "anna", first.id, "synthetic", 5)  # the reply was lost
    with pytest.raises(Refused, match="final"):
        reader_study.answer(room, study, "anna", first.id, "real", 5)
    with pytest.raises(Refused, match="in front of you"):
        reader_study.case_of(room, study, "anna", first.id)
    second = reader_study.next_item(room, study, "anna")
    assert second is not None
    assert second.id != first.id
    assert second.place == 2
    assert reader_study.progress(room, study) == {"anna": 1, "ben": 0}


def test_what_is_not_in_front_of_a_reader_is_neither_shown_nor_answered(room, study) -> None:
    item = reader_study.next_item(room, study, "anna")
    assert item is not None
    for reader in ("ben", "carl"):
        with pytest.raises(Refused):
            reader_study.case_of(room, study, reader, item.id)
        with pytest.raises(Refused):
            reader_study.answer(room, study, reader, item.id, "real", 3)
    with pytest.raises(Refused, match="not a reader"):
        reader_study.next_item(room, study, "carl")
    with pytest.raises(DataError, match="no study"):
        reader_study.next_item(room, "0" * 16, "anna")


@pytest.mark.parametrize(
    ("said", "confidence", "more", "words"),
    [
        ("fake", 3, {}, "the answer 'fake'"),
        ("real", 0, {}, "confidence 0"),
        ("real", 6, {}, "confidence 6"),
        ("real", 3, {"reasons": ["hunch"]}, "hunch"),
        ("real", 3, {"seconds": -1.0}, "seconds"),
    ],
)
def test_answers_that_are_none(room, study, said, confidence, more, words) -> None:
    item = reader_study.next_item(room, study, "anna")
    assert item is not None
    with pytest.raises(DataError, match=words):
        reader_study.answer(room, study, "anna", item.id, said, confidence, **more)
    assert reader_study.progress(room, study)["anna"] == 0


def test_cases_are_hidden_from_a_reader_until_all_are_answered(room, study) -> None:
    assert len(reader_study.hidden_cases(room, "anna")) == 8
    assert reader_study.hidden_cases(room, "carl") == set()
    read(room, study, "anna")
    assert reader_study.hidden_cases(room, "anna") == set()
    assert len(reader_study.hidden_cases(room, "ben")) == 8


def test_the_result_comes_at_the_end_and_not_before(room, study) -> None:
    seen = read(room, study, "anna")
    with pytest.raises(Refused, match="1 of 2 readers are not done"):
        reader_study.result(room, study)
    assert sorted(kinds(room, seen)) == [False] * 4 + [True] * 4
    read(room, study, "ben", "synthetic")
    found = reader_study.result(room, study)
    assert found["study"]["unfinished"] == []
    assert found["study"]["margin"] == found["margin"] == 0.2
    anna, ben = found["readers"]["anna"], found["readers"]["ben"]
    assert (anna["sensitivity"]["value"], anna["specificity"]["value"]) == (0.0, 1.0)
    assert (ben["sensitivity"]["value"], ben["specificity"]["value"]) == (1.0, 0.0)
    assert (anna["reasons"], anna["seconds_median"]) == ({"edges": 8}, 4.0)
    assert found["pooled"]["accuracy"]["value"] == 0.5
    assert found["words"][0].startswith("2 reader(s) saw 8 images, 4 of them synthetic")


def test_a_closed_study_counts_who_is_done_and_takes_no_more(room, study) -> None:
    read(room, study, "anna")
    item = reader_study.next_item(room, study, "ben")
    reader_study.close(room, study, "me")
    assert item is not None
    with pytest.raises(Refused, match="closed"):
        reader_study.answer(room, study, "ben", item.id, "real", 3)
    found = reader_study.result(room, study)
    assert list(found["readers"]) == ["anna"]
    assert found["study"]["unfinished"] == ["ben"]
    assert reader_study.hidden_cases(room, "ben") == set()


def test_nobody_done_is_no_result(room, study) -> None:
    reader_study.close(room, study, "me")
    with pytest.raises(DataError, match="nobody has answered"):
        reader_study.result(room, study)


def test_margin_seed_and_answers_are_in_the_audit_and_no_name_is(room, study) -> None:
    read(room, study, "anna")
    with room.read() as connection:
        rows = connection.execute(sql.select(AUDIT.c.action, AUDIT.c.body)).all()
    made = next(row.body for row in rows if row.action == "study_created")
    assert '"margin":0.2' in made
    assert '"seed":7' in made
    assert sum(row.action == "study_answered" for row in rows) == 8
    assert not any("iller" in row.body for row in rows if row.action.startswith("study"))
    assert verify(room).problems == []


def test_arms_that_differ_at_a_glance_are_refused_or_told(room) -> None:
    real = cases(room, 4, synthetic=False)
    with pytest.raises(DataError, match="same kinds of images"):
        reader_study.create(room, real, cases(room, 4, synthetic=True, modality="CT"), ["anna"], by="me")
    with pytest.raises(DataError, match="recorded as the other kind"):
        reader_study.create(room, real, real, ["anna"], by="me")
    with pytest.raises(DataError, match="two of each"):
        reader_study.create(room, real, [], ["anna"], by="me")
    with pytest.raises(ConfigError, match="readers"):
        reader_study.create(room, real, real, ["anna", "anna"], by="me")
    larger = cases(room, 4, synthetic=True, shape=(9, 8, 8), model="large")
    study = reader_study.create(room, real, larger, ["anna"], by="me")
    remarks = reader_study.study_of(room, study).remarks
    assert any("image size along X alone tells" in remark for remark in remarks)
    assert not any("along Y" in remark for remark in remarks)
    assert [one.id for one in reader_study.studies(room, "anna")] == [study]
    assert reader_study.studies(room, "ben") == []
