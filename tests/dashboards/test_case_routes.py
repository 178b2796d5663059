"""What a viewer does with a case: look, take it, draw, save, decide."""

import gzip

import numpy as np
import pytest

from medunet.review import decisions, reader_study, second_read, versions
from medunet.review.cases import get_case
from medunet.review.policy import ROLES
from tests.dashboards.conftest import add_ball


@pytest.fixture
def client(reading):
    return reading.client("reviewer")


@pytest.fixture
def case(reading, client):
    return client.get(f"/api/v1/cases/{reading.case_3d}").json()


def put(client, case, array, lease, rev=1, **headers):
    told = {
        "content-encoding": "gzip",
        "if-match": f'"{rev}"',
        "x-lease": lease,
        "x-dtype": array.dtype.name,
        "x-tool": "brush",
        **headers,
    }
    return client.put(case["urls"]["mask"], content=gzip.compress(array.tobytes(order="F")), headers=told)


def take(client, case):
    return client.post(f"/api/v1/cases/{case['id']}/lease", json={"action": "take"}).json()["token"]


def edited(reading, label=2):
    array = reading.mask.copy(order="F")
    array[1, 2, 3] = label
    return array


def test_a_case_says_all_that_a_viewer_needs(case, reading):
    assert case["shape"] == [22, 24, 20]
    assert case["affine"] == np.diag([1.0, 2, 3, 1]).tolist()
    assert (case["dtype"], case["slope"], case["intercept"], case["channels"]) == ("int16", 1.0, 0.0, 1)
    assert case["spacing_mm"] == [1, 2, 3]
    assert case["labels"][1] == {"value": 2, "name": "other ball", "colour": "#56b4e9"}
    assert (case["rev"], case["model_rev"], case["state"], case["lease"]) == (1, 1, "open", None)
    assert case["versions"][0]["author"] == "model one"
    assert case["slabs"] == {"n": 1, "thickness": 20, "order": [0]}
    assert len(case["window"]["default"]) == 2


def test_only_who_may_see_names_is_sent_one(reading):
    for role in ROLES:
        found = reading.client(role).get(f"/api/v1/cases/{reading.case_3d}")
        assert ("Jane Doe" in found.text) == (role != "viewer")
        assert ".nii.gz" not in found.text
    assert found.json()["id"] == reading.case_3d


def test_the_image_arrives_packed_and_is_kept_by_its_hash(client, case):
    url = case["urls"]["image"]
    answer = client.get(f"{url}/0")
    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert len(answer.content) == 22 * 24 * 20 * 2
    again = client.get(f"{url}/0", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for wrong in (
        f"{url}/1",
        f"{url[:-1]}g/0",
        f"/api/v1/cases/0123456789abcdef/image/{url.split('/')[-1]}/0",
    ):
        assert client.get(wrong).status_code == 404


def test_the_mask_arrives_voxel_exact(client, case, reading):
    answer = client.get(case["urls"]["mask"])
    assert (answer.headers["x-dtype"], answer.headers["x-rev"]) == ("uint8", "1")
    np.testing.assert_array_equal(np.frombuffer(answer.content, np.uint8), reading.mask.ravel(order="F"))
    same = client.get(case["urls"]["mask"], headers={"if-none-match": answer.headers["etag"]})
    assert same.status_code == 304
    empty = client.get(case["urls"]["mask"], params={"rev": 0})
    assert not np.frombuffer(empty.content, np.uint8).any()
    assert client.get(case["urls"]["mask"], params={"rev": 7}).status_code == 404


def test_a_saved_mask_is_the_next_version(client, case, reading):
    array = edited(reading)
    answer = put(client, case, array, take(client, case))
    assert answer.status_code == 200
    assert answer.json()["rev"] == 2
    assert answer.json()["changed_voxels"] == 1
    np.testing.assert_array_equal(versions.mask_of(reading.desk.room, case["id"]), array)
    made = versions.history(reading.desk.room, case["id"])[-1]
    assert (made.author, made.tool) == ("some-reviewer", "brush")


def test_an_unedited_save_is_hash_equal(client, case, reading):
    answer = put(client, case, reading.mask, take(client, case))
    assert answer.json() == {"rev": 1, "sha256": case["mask_sha256"], "changed_voxels": 0} | {
        "changed_voxels": answer.json()["changed_voxels"]
    }


def test_a_mask_changed_meanwhile_is_a_conflict(client, case, reading):
    lease = take(client, case)
    put(client, case, edited(reading), lease)
    answer = put(client, case, edited(reading, label=1), lease)
    assert answer.status_code == 412
    assert answer.json()["rev"] == 2
    current = client.get(case["urls"]["mask"])
    assert answer.json()["sha256"] == current.headers["etag"].strip('"')


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-lease": "0" * 32}, 409),
        ({"x-dtype": "float32"}, 415),
        ({"content-encoding": "identity"}, 415),
        ({"x-dtype": "uint16"}, 422),
        ({"if-match": "*"}, 428),
    ],
)
def test_a_save_that_does_not_fit_is_refused(client, case, reading, headers, code):
    assert put(client, case, edited(reading), take(client, case), **headers).status_code == code
    assert len(versions.history(reading.desk.room, case["id"])) == 1


def test_bombs_and_foreign_labels_are_refused(client, case, reading):
    lease = take(client, case)
    assert put(client, case, np.zeros(10**6, np.uint8), lease).status_code == 413
    assert put(client, case, np.zeros(10, np.uint8), lease).status_code == 422
    assert put(client, case, edited(reading, label=9), lease).status_code == 422
    assert len(versions.history(reading.desk.room, case["id"])) == 1


def test_a_long_body_is_given_up_before_it_is_read(client, case):
    sent = 0

    def body():
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield bytes(2**10)

    answer = client.post(f"/api/v1/cases/{case['id']}/decision", content=body())
    assert answer.status_code == 413


def test_two_readers_share_one_lease(client, case, reading):
    token = take(client, case)
    other = reading.client("adjudicator")
    url = f"/api/v1/cases/{case['id']}/lease"
    held = other.post(url, json={"action": "take"})
    assert (held.status_code, held.json()["holder"]) == (423, "some-reviewer")
    assert other.get(f"/api/v1/cases/{case['id']}").json()["lease"]["user"] == "some-reviewer"
    assert client.post(url, json={"action": "renew", "token": token}).status_code == 200
    assert client.post(url, json={"action": "drop", "token": token}).status_code == 200
    assert other.post(url, json={"action": "take"}).status_code == 200
    assert client.post(url, json={"action": "renew", "token": token}).status_code == 423


def test_strokes_are_kept_once_and_come_back_in_order(client, case, reading):
    url = f"/api/v1/cases/{case['id']}/strokes"
    for seq in (0, 1, 1):
        body = gzip.compress(f"stroke {seq}".encode(), mtime=0)
        assert client.post(url, params={"base": 1, "seq": seq}, content=body).status_code == 200
    kept = client.get(url, params={"base": 1}).json()["strokes"]
    assert len(kept) == 2
    other = reading.client("adjudicator").get(url, params={"base": 1}).json()["strokes"]
    assert other == []
    put(client, case, edited(reading), take(client, case), **{"x-strokes": "0"})
    assert client.get(url, params={"base": 1}).json()["strokes"] == kept[1:]


def test_a_decision_is_stored_and_needs_a_reason_to_reject(client, case, reading):
    url = f"/api/v1/cases/{case['id']}/decision"
    assert client.post(url, json={"verdict": "rejected", "rev": 1}).status_code == 422
    assert client.post(url, json={"verdict": "accepted", "rev": 4}).status_code in (412, 422)
    body = {"verdict": "accepted", "rev": 1, "reasons": [], "difficulty": 2, "comment": "", "seconds": 12.5}
    assert client.post(url, json=body).status_code == 200
    made = decisions.decisions_of(reading.desk.room, case["id"])[-1]
    assert (made.user, made.verdict, made.difficulty, made.seconds) == ("some-reviewer", "accepted", 2, 12.5)
    assert client.get(f"/api/v1/cases/{case['id']}").json()["state"] == "accepted"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"verdict": 3}', b'{"verdict":"accepted","rev":true}'])
def test_a_body_that_is_no_decision_is_told(client, case, body):
    answer = client.post(f"/api/v1/cases/{case['id']}/decision", content=body)
    assert answer.status_code == 422
    assert set(answer.json()) == {"error", "do"}


def test_a_comment_may_be_pinned_to_a_voxel(client, case):
    url = f"/api/v1/cases/{case['id']}/comments"
    assert client.post(url, json={"text": "look here", "voxel": [1, 2, 3]}).status_code == 200
    assert client.post(url, json={"text": "and", "voxel": [1, 2.5, 3]}).status_code == 422
    found = client.get(f"/api/v1/cases/{case['id']}").json()["comments"]
    assert [(one["text"], one["voxel"]) for one in found] == [("look here", [1, 2, 3])]


def test_an_older_version_comes_back_as_a_new_one(client, case, reading):
    lease = take(client, case)
    put(client, case, edited(reading), lease)
    answer = client.post(f"/api/v1/cases/{case['id']}/restore", json={"rev": 1, "token": lease, "base": 2})
    assert answer.json()["rev"] == 3
    np.testing.assert_array_equal(versions.mask_of(reading.desk.room, case["id"]), reading.mask)


def test_a_picture_has_one_slice(client, reading):
    case = client.get(f"/api/v1/cases/{reading.case_2d}").json()
    assert case["shape"] == [40, 44, 1]
    assert case["dtype"] == "uint8"
    assert len(client.get(case["urls"]["mask"]).content) == 40 * 44


def test_a_blinded_reader_works_on_a_mask_of_their_own(client, reading):
    room, url = reading.desk.room, f"/api/v1/cases/{reading.case_3d}"
    decisions.decide(room, reading.case_3d, user="some-admin", verdict="rejected", rev=1, reasons=["leak"])
    reading_id = second_read.assign(room, reading.case_3d, "some-reviewer", "some-admin", start="empty")
    case = client.get(url).json()
    assert (case["reading"], case["rev"], case["model_rev"]) == (reading_id, 1, None)
    assert case["decisions"] == case["comments"] == []
    assert not np.frombuffer(client.get(case["urls"]["mask"]).content, np.uint8).any()
    assert put(client, case, edited(reading), take(client, case)).json()["rev"] == 2
    np.testing.assert_array_equal(versions.mask_of(room, reading.case_3d), reading.mask)  # as it was
    body = {"verdict": "accepted", "rev": 2, "reasons": []}
    assert client.post(f"{url}/decision", json=body).status_code == 200
    assert client.get(url).json()["reading"] is None  # all are through: everything may be seen
    assert reading.client("admin").get(url).json()["state"] == "rejected"


def test_an_item_of_a_study_tells_nothing_of_its_kind(reading, client, tmp_path):
    room = reading.desk.room
    real = [reading.case_2d, add_ball(room, tmp_path, (41, 44))[0]]
    fake = [add_ball(room, tmp_path, (n, 44), synthetic=True)[0] for n in (42, 43)]
    study = reader_study.create(room, real, fake, ["some-reviewer"], by="some-admin", name="pilot")
    item = reader_study.next_item(room, study, "some-reviewer")
    url = f"/api/v1/studies/{study}/cases/{item.id}"
    shown = client.get(url)
    assert shown.status_code == 200
    for word in ("Jane", "synthetic", "ball", reading.desk.voxels.key(get_case(room, real[0])), *real, *fake):
        assert word not in shown.text
    image = client.get(f"{shown.json()['urls']['image']}/0")
    assert len(image.content) == np.prod(shown.json()["shape"])
    assert "etag" not in image.headers
    assert client.get(f"/api/v1/cases/{real[0]}").status_code == 404  # not by the other door
    assert reading.client("adjudicator").get(url).status_code == 403  # nor for somebody else
    reader_study.answer(room, study, "some-reviewer", item.id, "real", 3)
    assert client.get(url).status_code == 403  # one way
