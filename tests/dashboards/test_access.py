"""Every route x role x (no cookie, forged, expired, foreign origin): the table of expected codes."""

import pytest
import sqlalchemy as sql
from starlette.websockets import WebSocketDisconnect

from dashboards.routes import DOORS
from medunet.review.cases import get_case
from medunet.review.policy import ROLES
from medunet.review.tables import SESSIONS

CASE = "/api/v1/cases/{case}"
ITEM = "/api/v1/studies/{study}/cases/{item}"
TABLE = {  # nobody, viewer, reviewer, adjudicator, admin; bodies are empty, so that nothing is stored
    ("POST", "/api/v1/login"): (422, 422, 422, 422, 422),
    ("GET", "/api/v1/me"): (401, 200, 200, 200, 200),
    ("GET", "/api/v1/health"): (200, 200, 200, 200, 200),
    ("GET", CASE): (401, 200, 200, 200, 200),
    ("GET", f"{CASE}/image/{{key}}/{{part}}"): (401, 200, 200, 200, 200),
    ("GET", f"{CASE}/mask"): (401, 200, 200, 200, 200),
    ("PUT", f"{CASE}/mask"): (401, 403, 415, 415, 415),
    ("GET", f"{CASE}/uncertainty"): (401, 404, 404, 404, 404),
    ("POST", f"{CASE}/lease"): (401, 403, 422, 422, 422),
    ("POST", f"{CASE}/strokes"): (401, 403, 422, 422, 422),
    ("GET", f"{CASE}/strokes"): (401, 403, 422, 422, 422),
    ("POST", f"{CASE}/decision"): (401, 403, 422, 422, 422),
    ("POST", f"{CASE}/comments"): (401, 403, 422, 422, 422),
    ("POST", f"{CASE}/restore"): (401, 403, 422, 422, 422),
    ("GET", ITEM): (401, 403, 422, 422, 422),
    ("GET", f"{ITEM}/image/{{part}}"): (401, 403, 404, 404, 404),
    ("POST", "/api/v1/logout"): (401, 200, 200, 200, 200),  # last: it ends the session
}
COLUMNS = (None, "viewer", "reviewer", "adjudicator", "admin")


def test_the_table_knows_every_route_and_role():
    assert {(door.method, door.path) for door in DOORS} == set(TABLE)
    assert {role for role in COLUMNS if role} == set(ROLES)


def codes(client, reading):
    case = reading.case_3d
    parts = {"case": case, "part": "0", "study": "0" * 16, "item": "0" * 16}
    parts["key"] = reading.desk.voxels.key(get_case(reading.desk.room, case))
    return {
        (method, path): client.request(method, path.format(**parts)).status_code for method, path in TABLE
    }


def column(role):
    return {route: row[COLUMNS.index(role)] for route, row in TABLE.items()}


@pytest.mark.parametrize("role", COLUMNS)
def test_the_codes_of_a_role(reading, role):
    assert codes(reading.client(role), reading) == column(role)


def test_a_forged_cookie_is_nobody(reading):
    forged = reading.client(None)
    forged.cookies.set("medunet_session", reading.tokens["admin"][:-1] + "0")
    assert codes(forged, reading) == column(None)


def test_an_expired_or_revoked_session_is_nobody(reading):
    client = reading.client("admin")
    with reading.desk.room.begin() as connection:
        connection.execute(sql.update(SESSIONS).values(seen=0.0))
    assert codes(client, reading) == column(None)


@pytest.mark.parametrize(
    "origin", ["http://evil.test", "https://room.test.evil.test", "http://room.test:81", "null"]
)
def test_another_origin_is_refused_whoever_asks(reading, origin):
    found = codes(reading.client("admin", origin=origin), reading)
    assert set(found.values()) == {403}
    assert reading.client("admin").get("/api/v1/me").status_code == 200  # not even the logout came through


def test_writes_need_an_origin_and_the_header_and_reads_do_not(reading):
    client = reading.client("admin")
    del client.headers["x-medunet"]
    assert {client.request(*route).status_code for route in TABLE if route[0] != "GET"} == {403}
    client = reading.client("admin", **{"sec-fetch-site": "same-origin"})
    del client.headers["origin"]
    assert {client.request(*route).status_code for route in TABLE if route[0] != "GET"} == {403}
    assert client.get("/api/v1/me").status_code == 200


def test_another_site_may_open_a_page_by_a_link_but_embed_nothing(reading):
    client = reading.client("admin")
    del client.headers["origin"]
    foreign = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    frame = link | {"sec-fetch-dest": "iframe"}
    assert client.get("/api/v1/me", headers=foreign).status_code == 403
    assert client.get("/login", headers=frame).status_code == 403
    assert client.get("/login", headers=link).status_code == 303


@pytest.mark.parametrize(
    "host", ["evil.test", "127.0.0.1", "room.test.evil.test", "room.test@evil.test", "", "["]
)
def test_another_host_name_is_refused(reading, host):
    client = reading.client("admin")
    assert client.get("/api/v1/me", headers={"host": host, "origin": f"http://{host}"}).status_code == 421


def test_other_addresses_are_no_pages(reading):
    assert reading.client("admin").get("/api/v1/nothing").status_code == 404
    assert reading.client("admin").delete(f"/api/v1/cases/{reading.case_3d}").status_code == 404
    assert reading.client("admin").post("/_stcore/upload_file/a/b").status_code == 405
    assert reading.client(None).get("/_stcore/host-config").status_code == 401


def test_a_person_is_led_to_the_login_and_a_program_is_told(reading):
    nobody = reading.client(None)
    page = nobody.get("/", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    told = nobody.get("/api/v1/me", headers={"accept": "text/html"})
    assert told.json() == {"error": "nobody is logged in, or the session is over", "do": "log in at /login"}
    assert "<script>" not in nobody.get("/login").text
    assert nobody.get("/assets/login.js").status_code == 200
    assert nobody.get("/assets/%2e%2e/desk.py").status_code == 404


def test_every_answer_carries_the_security_headers(reading):
    for answer in (reading.client(None).get("/api/v1/me"), reading.client("viewer").get("/api/v1/me")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


def test_the_cookie_reaches_no_script_and_no_other_site(reading):
    answer = reading.client(None).post(
        "/api/v1/login", json={"name": "some-viewer", "password": "a long enough password"}
    )
    told = answer.headers["set-cookie"].lower()
    assert answer.status_code == 200
    assert "httponly" in told
    assert "samesite=strict" in told
    wrong = reading.client(None).post("/api/v1/login", json={"name": "some-viewer", "password": "wrong"})
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers


def test_logout_ends_the_session_on_the_server(reading):
    client, stolen = reading.client("viewer"), reading.client("viewer")
    assert client.post("/api/v1/logout").status_code == 200
    assert stolen.get("/api/v1/me").status_code == 401


def test_the_log_names_nobody(reading, caplog):
    caplog.set_level("INFO", "medunet.reading")
    reading.client("reviewer").get(f"/api/v1/cases/{reading.case_3d}")
    assert f"GET /api/v1/cases/{reading.case_3d} 200" in caplog.text
    for word in ("Jane", "Doe", "reviewer", reading.tokens["reviewer"], "ball"):
        assert word not in caplog.text


def test_a_websocket_needs_a_login_and_an_own_origin(reading):
    for client in (reading.client(None), reading.client("admin", origin="http://evil.test")):
        with (
            pytest.raises(WebSocketDisconnect) as closed,
            client.websocket_connect("ws://room.test/_stcore/stream"),
        ):
            pass
        assert closed.value.code == 1008
