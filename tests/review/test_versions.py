from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sql

from medunet.errors import DataError
from medunet.io.volume import Array
from medunet.review import leases
from medunet.review.audit import entries, verify
from medunet.review.cases import add_case, get_case
from medunet.review.decisions import decide
from medunet.review.errors import Conflict, Refused
from medunet.review.room import Room
from medunet.review.store import mask_sha256
from medunet.review.versions import history, import_mask, mask_of, restore, save, version_of
from tests.review.conftest import SHAPE, mask, new_case, saved

ROOT = Path(__file__).parents[2]


def test_every_save_is_a_version_that_can_come_back(room: Room, case_id: str):
    masks = [mask((0, 0, 0)), mask((0, 0, 0), (5, 4, 3)), mask((5, 4, 3), value=2)]
    import_mask(room, case_id, masks[0], "run", "model")
    saved(room, case_id, masks[1], 1)
    saved(room, case_id, masks[2], 2, "ben")
    versions = history(room, case_id)
    assert [(v.rev, v.author, v.tool, v.changed_voxels) for v in versions] == [
        (1, "run", "model", 1),
        (2, "anna", "brush", 1),
        (3, "ben", "brush", 2),
    ]
    assert [v.sha256 for v in versions] == [mask_sha256(one) for one in masks]
    assert [v.parent_sha256 for v in versions] == ["", versions[0].sha256, versions[1].sha256]
    for rev, array in enumerate(masks, 1):
        np.testing.assert_array_equal(mask_of(room, case_id, rev), array)
    token = leases.take(room, case_id, "anna").token
    back = restore(room, case_id, 1, user="anna", token=token, base_rev=3)
    assert (back.rev, back.sha256, back.parent_sha256, back.tool) == (
        4,
        versions[0].sha256,
        versions[2].sha256,
        "restore",
    )
    assert get_case(room, case_id).rev == 4
    assert version_of(room, case_id) == back
    saves = [entry for entry in entries(room, case_id) if entry["action"] == "mask_saved"]
    assert [entry["body"]["sha256"] for entry in saves] == [
        v.sha256 for v in (back, versions[2], versions[1])
    ]


def test_before_the_first_version_the_mask_is_empty(room: Room, case_id: str):
    assert not mask_of(room, case_id).any()
    assert mask_of(room, case_id, 0).shape == SHAPE
    assert version_of(room, case_id) is None
    assert saved(room, case_id, mask(), 0).changed_voxels == 0  # there is no structure: that is a version
    with pytest.raises(DataError, match="no version 2"):
        mask_of(room, case_id, 2)


def test_a_save_that_changes_nothing_is_no_version(room: Room, case_id: str):
    first = saved(room, case_id, mask((1, 2, 3)), 0)
    assert saved(room, case_id, mask((1, 2, 3)), 1) == first
    assert saved(room, case_id, mask((1, 2, 3)).astype(np.uint16), 1) == first
    assert len(history(room, case_id)) == 1


def test_a_save_on_an_old_version_is_a_conflict_that_stores_nothing(room: Room, case_id: str):
    saved(room, case_id, mask((0, 0, 0)), 0)
    current = saved(room, case_id, mask((1, 0, 0)), 1)
    for base_rev in (0, 1, 3):
        with pytest.raises(Conflict) as caught:
            saved(room, case_id, mask((2, 0, 0)), base_rev, "ben")
        leases.drop(room, case_id, leases.take(room, case_id, "ben").token)
        assert (caught.value.rev, caught.value.sha256) == (2, current.sha256)
    assert history(room, case_id)[-1] == current


def test_a_save_needs_the_lease_of_its_user(room: Room, case_id: str):
    def attempt(user: str, token: str) -> None:
        save(room, case_id, mask((0, 0, 0)), user=user, token=token, base_rev=0, tool="brush")

    with pytest.raises(Refused, match="nobody holds"):
        attempt("anna", "")
    old = leases.take(room, case_id, "anna", seconds=-1).token
    token = leases.take(room, case_id, "ben").token
    with pytest.raises(Refused, match="ben has taken"):
        attempt("anna", old)
    with pytest.raises(Refused, match="somebody else"):
        attempt("anna", token)
    assert history(room, case_id) == []
    attempt("ben", token)
    assert len(history(room, case_id)) == 1


def test_a_lease_lost_while_the_file_is_written_stops_the_save(
    room: Room, case_id: str, monkeypatch: pytest.MonkeyPatch
):
    token = leases.take(room, case_id, "anna", seconds=-1).token
    put = room.masks.put

    def slow(array: Array) -> str:
        leases.take(room, case_id, "ben")
        return put(array)

    monkeypatch.setattr(room.masks, "put", slow)
    with pytest.raises(Refused, match="ben has taken"):
        save(room, case_id, mask((0, 0, 0)), user="anna", token=token, base_rev=0, tool="brush")
    assert history(room, case_id) == []


def test_of_two_saves_at_once_under_one_lease_the_later_is_a_conflict(
    room: Room, case_id: str, monkeypatch: pytest.MonkeyPatch
):
    token = leases.take(room, case_id, "anna").token
    put = room.masks.put

    def slow(array: Array) -> str:
        monkeypatch.setattr(room.masks, "put", put)
        save(room, case_id, mask((1, 1, 1)), user="anna", token=token, base_rev=0, tool="brush")
        return put(array)

    monkeypatch.setattr(room.masks, "put", slow)
    with pytest.raises(Conflict) as caught:
        save(room, case_id, mask((0, 0, 0)), user="anna", token=token, base_rev=0, tool="brush")
    assert caught.value.rev == 1
    np.testing.assert_array_equal(mask_of(room, case_id), mask((1, 1, 1)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: mask()[:-1], "shape"),
        (lambda: mask().transpose(), "shape"),
        (lambda: mask().astype(np.int32), "uint8 or uint16"),
        (lambda: mask((0, 0, 0), value=7), r"labels \[7\]; expected \[1, 2\]"),
    ],
)
def test_a_mask_that_does_not_fit_its_case_is_refused(file_room: Room, wrong: Callable[[], Array], said: str):
    case_id = add_case(file_room, new_case(), "anna")
    with pytest.raises(DataError, match=said):
        saved(file_room, case_id, wrong(), 0)
    with pytest.raises(DataError, match=said):
        import_mask(file_room, case_id, wrong(), "run")
    assert get_case(file_room, case_id).rev == 0


def test_objects_may_have_any_number(file_room: Room):
    case_id = add_case(file_room, new_case(instances=True, labels={}), "anna")
    assert mask_of(file_room, case_id).dtype == np.uint16
    array = mask((0, 0, 0)).astype(np.uint16) * 60000
    saved(file_room, case_id, array, 0)
    np.testing.assert_array_equal(mask_of(file_room, case_id), array)


def test_a_mask_is_imported_once(room: Room, case_id: str):
    first = import_mask(room, case_id, mask((0, 0, 0)), "run", "model")
    assert import_mask(room, case_id, mask((0, 0, 0)), "run", "model") == first
    with pytest.raises(Conflict):
        import_mask(room, case_id, mask((1, 0, 0)), "run", "model")


def test_a_decided_case_that_changes_is_open_again(room: Room, case_id: str):
    saved(room, case_id, mask((0, 0, 0)), 0)
    decide(room, case_id, user="anna", verdict="accepted", rev=1, reasons=())
    saved(room, case_id, mask((0, 0, 0)), 1)  # changes nothing
    assert get_case(room, case_id).state == "accepted"
    saved(room, case_id, mask((1, 0, 0)), 1)
    assert get_case(room, case_id).state == "open"


def test_second_readings_have_versions_of_their_own(room: Room, case_id: str):
    saved(room, case_id, mask((0, 0, 0)), 0)
    import_mask(room, case_id, mask((3, 0, 0)), "run", "model", reading="r1")
    token = leases.take(room, case_id, "ben", reading="r1").token
    own = save(
        room,
        case_id,
        mask((3, 3, 3)),
        user="ben",
        token=token,
        base_rev=1,
        tool="brush",
        note="mine",
        reading="r1",
    )
    assert (own.rev, own.changed_voxels, own.note) == (2, 2, "mine")
    assert [v.rev for v in history(room, case_id)] == [1]
    assert history(room, case_id, "r1")[-1] == own
    assert get_case(room, case_id).rev == 1
    np.testing.assert_array_equal(mask_of(room, case_id, reading="r1"), mask((3, 3, 3)))


READER = """
import sys, time
from pathlib import Path
from medunet.review import leases
from medunet.review.errors import Conflict, Refused
from medunet.review.room import Room
from medunet.review.versions import mask_of, save, version_of

workspace, url, case_id, user, count, column = sys.argv[1:]
room = Room.open(Path(workspace), url or None)
done = 0
while done < int(count):
    try:
        token = leases.take(room, case_id, user).token
    except Refused:
        time.sleep(0.005)
        continue
    rev = version_of(room, case_id).rev
    array = mask_of(room, case_id, rev).copy(order="F")
    array[int(column), done] += 1
    save(room, case_id, array, user=user, token=token, base_rev=rev, tool="brush")
    done += 1
    print(done, flush=True)
    leases.drop(room, case_id, token)
"""


def reader(tmp_path: Path, url: str | None, case_id: str, user: str, count: int) -> subprocess.Popen[str]:
    column = "01"[user == "ben"]
    command = [sys.executable, "-c", READER, str(tmp_path), url or "", case_id, user, str(count), column]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def wide_case(room: Room, count: int) -> str:
    labels = new_case().labels
    new = new_case(dims=2, shape=(2, count), spacing_mm=(1.0, 1.0), labels=labels)
    case_id = add_case(room, new, "anna")
    import_mask(room, case_id, np.zeros((2, count), np.uint8), "run")
    return case_id


def test_two_processes_lose_no_edit(room: Room, url: str | None, tmp_path: Path):
    count = 60 if url is None else 30  # 200 were measured once, with no edit lost
    case_id = wide_case(room, count)
    both = [reader(tmp_path, url, case_id, user, count) for user in ("anna", "ben")]
    assert [one.communicate()[0].splitlines()[-1] for one in both] == [str(count)] * 2
    np.testing.assert_array_equal(mask_of(room, case_id), np.ones((2, count)))
    versions = history(room, case_id)
    assert [version.rev for version in versions] == list(range(1, 2 * count + 2))
    assert all(v.changed_voxels == 1 for v in versions[1:])
    assert verify(room).problems == []


def test_a_process_that_is_killed_loses_nothing_that_was_stored(room: Room, url: str | None, tmp_path: Path):
    case_id = wide_case(room, 500)
    one = reader(tmp_path, url, case_id, "anna", 500)
    assert one.stdout is not None
    told = 0
    while told < 8:
        told = int(one.stdout.readline())
    one.kill()
    told += len(one.communicate()[0].split())
    array = mask_of(room, case_id)
    rev = history(room, case_id)[-1].rev
    assert rev - 1 in (told, told + 1)  # the one that was stored and not yet told
    assert array.sum() == rev - 1
    assert verify(room).problems == []
    ours = saved(room, case_id, np.zeros((2, 500), np.uint8), rev) if rev > 1 else None  # and work goes on
    assert ours is not None
    assert ours.rev == rev + 1


def test_the_same_version_twice_is_refused_by_the_database(room: Room, case_id: str):
    saved(room, case_id, mask((0, 0, 0)), 0)
    copy = "INSERT INTO review_versions SELECT * FROM review_versions"
    with pytest.raises(sql.exc.IntegrityError), room.begin() as connection:
        connection.execute(sql.text(copy))
