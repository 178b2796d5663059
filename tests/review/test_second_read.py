"""Second readings in a real room: who sees what, what readers disagree on, and who settles it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medunet.errors import ConfigError, DataError
from medunet.review import leases, versions
from medunet.review.audit import verify
from medunet.review.cases import LabelInfo, NewCase, add_case, get_case
from medunet.review.decisions import decide
from medunet.review.errors import Conflict, Refused
from medunet.review.readings import FIRST, masks_of, readings_of, sight, to_read
from medunet.review.room import Room
from medunet.review.second_read import adjudicate, agreement_of, assign, disagreements, report, submit

NEW = NewCase(
    "scan", "folder", ("/scan.nii.gz",), "", "MR", 3, (12, 10, 8), (1.0, 1.0, 2.0),
    {1: LabelInfo("liver", "#ff0000")}, patient="p",
)  # fmt: skip


def box(low: int, high: int) -> np.ndarray:
    mask = np.zeros(NEW.shape, np.uint8, order="F")
    mask[low:high, 2:8, 2:6] = 1
    return mask


def new_case(room: Room, sha: str = "a", patient: str = "p") -> str:
    case = add_case(room, replace(NEW, image_sha256=sha, patient=patient), "me")
    versions.import_mask(room, case, box(1, 11), "model 1", tool="model")
    return case


@pytest.fixture
def case(room) -> str:
    return new_case(room)


def save(room: Room, case: str, user: str, mask: np.ndarray, reading: str | None = None) -> int:
    lease = leases.take(room, case, user, reading=reading)
    of = versions.version_of(room, case, reading=reading)
    proof = {"user": user, "token": lease.token, "base_rev": of.rev if of else 0}
    rev = versions.save(room, case, mask, **proof, tool="brush", reading=reading).rev
    leases.drop(room, case, lease.token, reading=reading)
    return rev


def read(room: Room, case: str, reader: str, mask: np.ndarray, verdict: str = "accepted") -> str:
    reading = assign(room, case, reader, "chief")
    rev = save(room, case, reader, mask, reading)
    reasons = () if verdict == "accepted" else ("boundary",)
    submit(room, reading, reader, verdict=verdict, rev=rev, reasons=reasons)
    return reading


def test_a_blinded_reader_sees_nothing_of_others_until_all_are_done(room, case) -> None:
    save(room, case, "anna", box(1, 6))
    decide(room, case, user="anna", verdict="accepted", rev=2, reasons=())
    ben, carl = assign(room, case, "ben", "chief"), assign(room, case, "carl", "chief", start="empty")
    sights = {user: sight(room, case, user) for user in ("anna", "ben", "carl", "chief")}
    assert (sights["ben"].reading, sights["ben"].model, sights["ben"].others) == (ben, True, False)
    assert (sights["carl"].reading, sights["carl"].model, sights["carl"].others) == (carl, False, False)
    assert all(sights[user].reading is None and sights[user].others for user in ("anna", "chief"))
    assert np.array_equal(versions.mask_of(room, case, reading=ben), box(1, 11))  # the model's, not anna's
    assert not versions.mask_of(room, case, reading=carl).any()
    assert [one.id for one in to_read(room, "ben")] == [ben]
    submit(room, ben, "ben", verdict="accepted", rev=1, reasons=())
    assert to_read(room, "ben") == []
    assert not sight(room, case, "ben").others
    submit(room, carl, "carl", verdict="accepted", rev=1, reasons=())
    assert sight(room, case, "ben").others
    assert [one.id for one in readings_of(room, case)] == [FIRST, ben, carl]
    assert get_case(room, case).rev == 2  # readings leave the case as it is


def test_a_reading_is_its_readers_and_is_submitted_once(room, case) -> None:
    ben = assign(room, case, "ben", "chief")
    with pytest.raises(Refused, match="somebody else"):
        submit(room, ben, "carl", verdict="accepted", rev=1, reasons=())
    with pytest.raises(Conflict):
        submit(room, ben, "ben", verdict="accepted", rev=2, reasons=())
    with pytest.raises(DataError, match="reason"):
        submit(room, ben, "ben", verdict="rejected", rev=1, reasons=())
    submit(room, ben, "ben", verdict="accepted", rev=1, reasons=())
    with pytest.raises(Refused, match="stands"):
        submit(room, ben, "ben", verdict="rejected", rev=1, reasons=("boundary",))
    save(room, case, "ben", box(1, 3), ben)  # too late: what was submitted counts
    assert np.array_equal(masks_of(room, readings_of(room, case))["ben"], box(1, 11))


def test_nobody_reads_a_case_twice_and_there_must_be_something_to_start_with(room, case) -> None:
    assign(room, case, "ben", "chief")
    decide(room, case, user="anna", verdict="accepted", rev=1, reasons=())
    for reader in ("ben", "anna"):
        with pytest.raises(Refused, match="already"):
            assign(room, case, reader, "chief")
    with pytest.raises(ConfigError, match="start"):
        assign(room, case, "carl", "chief", start="anna's")
    drawn = add_case(room, replace(NEW, image_sha256="b"), "me")
    save(room, drawn, "anna", box(1, 6))
    with pytest.raises(DataError, match="no mask of a model"):
        assign(room, drawn, "carl", "chief")
    assert assign(room, drawn, "carl", "chief", start="empty")
    with pytest.raises(DataError, match="no reading"):
        submit(room, "0" * 16, "ben", verdict="accepted", rev=1, reasons=())


def test_agreement_and_disagreements_worst_first(room) -> None:
    like, unlike, verdict, open_ = (new_case(room, sha, f"p{sha}") for sha in "abcd")
    for case, second in ((like, box(1, 11)), (unlike, box(1, 6)), (verdict, box(1, 11))):
        read(room, case, "anna", box(1, 11))
        read(room, case, "ben", second, "rejected" if case == verdict else "accepted")
    read(room, open_, "anna", box(1, 6))
    assign(room, open_, "ben", "chief")
    found = disagreements(room)
    assert [one.case_id for one in found] == [unlike, verdict]
    assert found[0].lowest_dice == pytest.approx(2 / 3)
    assert [one.verdicts_differ for one in found] == [False, True]
    assert found[1].verdicts == {"anna": "accepted", "ben": "rejected"}
    assert agreement_of(room, unlike).pairs[0].hd95_mm == pytest.approx(5.0)
    with pytest.raises(DataError, match="two readers"):
        agreement_of(room, open_)
    whole = report(room)
    assert whole["cases"] == 3
    assert whole["pairs"][0]["dice"]["mean"] == pytest.approx((1 + 2 / 3 + 1) / 3)
    assert whole["pairs"][0]["dice"]["patients"] == 3
    assert whole["verdicts"]["anna, ben"]["observed"] == pytest.approx(2 / 3)


def test_an_adjudicator_settles_with_a_readers_mask(room, case) -> None:
    read(room, case, "anna", box(1, 11))
    ben = read(room, case, "ben", box(1, 6), "needs_edit")
    version = adjudicate(room, case, "dora", "ben is right about the edge", chosen=ben)
    assert (version.author, version.tool, version.note) == (
        "dora",
        "adjudication",
        "ben is right about the edge",
    )
    assert np.array_equal(versions.mask_of(room, case), box(1, 6))
    now = get_case(room, case)
    assert (now.rev, now.state) == (2, "needs_edit")
    assert leases.holder(room, case) is None
    assert disagreements(room) == []
    assert [one.reader for one in readings_of(room, case)] == ["anna", "ben"]  # dora is no reader
    assert verify(room).problems == []


def test_or_with_a_mask_of_their_own_under_the_lease_that_they_hold(room, case) -> None:
    decide(room, case, user="anna", verdict="accepted", rev=1, reasons=())
    read(room, case, "ben", box(1, 6))
    lease = leases.take(room, case, "dora")
    adjudicate(room, case, "dora", "both are off", lease.token, mask=box(3, 8))
    assert np.array_equal(versions.mask_of(room, case), box(3, 8))
    assert get_case(room, case).state == "accepted"
    assert leases.holder(room, case) is not None
    adjudicate(room, case, "dora", "anna after all", lease.token, chosen=FIRST)
    assert np.array_equal(versions.mask_of(room, case), box(1, 11))


def test_what_an_adjudicator_may_not(room, case) -> None:
    anna = read(room, case, "anna", box(1, 11))
    ben = assign(room, case, "ben", "chief")
    with pytest.raises(Refused, match="not all readings"):
        adjudicate(room, case, "dora", "in a hurry", chosen=anna)
    submit(room, ben, "ben", verdict="accepted", rev=1, reasons=())
    with pytest.raises(Refused, match="yourself"):
        adjudicate(room, case, "anna", "mine is best", chosen=anna)
    for reason, choice in (
        (" ", {"chosen": anna}),
        ("why", {}),
        ("why", {"chosen": anna, "mask": box(1, 3)}),
        ("why", {"chosen": "0" * 16}),
    ):
        with pytest.raises(DataError, match="cannot be settled"):
            adjudicate(room, case, "dora", reason, **choice)
    with pytest.raises(DataError, match="labels"):
        adjudicate(room, case, "dora", "why", mask=box(1, 3) * 2)
    leases.take(room, case, "emil")  # dora holds nothing any more
    with pytest.raises(Refused, match="emil is editing"):
        adjudicate(room, case, "dora", "why", chosen=anna)
    assert get_case(room, case).rev == 1
