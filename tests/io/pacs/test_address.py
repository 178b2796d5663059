from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from medunet.errors import ConfigError
from medunet.io.pacs import Query, is_address, parse_address
from medunet.io.pacs.login import login_headers

TODAY = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("text", "shown", "facts"),
    [
        (
            "dicomweb+http://host:8042/dicom-web/",
            "dicomweb+http://host:8042/dicom-web",
            {"url": "http://host:8042/dicom-web", "tls": False, "connections": 4},
        ),
        ("dicomweb+https://host/a/b", "dicomweb+https://host:443/a/b", {"tls": True, "path": "/a/b"}),
        ("orthanc+http://127.0.0.1:8042", "orthanc+http://127.0.0.1:8042", {"kind": "orthanc", "path": ""}),
        (
            "dimse://MEDUNET@host/ORTHANC?retrieve=move&receive=4000&connections=2",
            "dimse://MEDUNET@host:104/ORTHANC",
            {
                "our_title": "MEDUNET",
                "its_title": "ORTHANC",
                "receive": ("127.0.0.1", 4000),
                "connections": 2,
            },
        ),
        (
            "dimse+tls://A%20B@[::1]:2762/C?receive=192.0.2.1:11113",
            "dimse+tls://A B@[::1]:2762/C",
            {"tls": True, "our_title": "A B", "host": "::1", "receive": ("192.0.2.1", 11113)},
        ),
    ],
)
def test_an_address_says_where_a_pacs_is(text: str, shown: str, facts: dict[str, object]) -> None:
    address, query = parse_address(text)
    assert is_address(text)
    assert str(address) == shown
    assert {name: getattr(address, name) for name in facts} == facts
    assert query == Query()


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ("patient=A%20%261&accession=X", Query(patient_id="A &1", accession="X")),
        ("study=1.2.3&modality=ct&own=yes", Query(study_uid="1.2.3", modality="CT", own=True)),
        ("description=*chest?", Query(description="*chest?")),
        ("date=20260131", Query(since=date(2026, 1, 31), until=date(2026, 1, 31))),
        ("date=20260101-20260131", Query(since=date(2026, 1, 1), until=date(2026, 1, 31))),
        ("date=20260101-", Query(since=date(2026, 1, 1))),
        ("date=-20260131", Query(until=date(2026, 1, 31))),
        ("days=2", Query(since=date(2026, 2, 27), days=2)),
    ],
)
def test_options_say_which_studies(options: str, query: Query) -> None:
    address, found = parse_address(f"orthanc+http://host?{options}", today=TODAY)
    assert found == query
    assert str(address) == "orthanc+http://host:80"


def test_days_are_counted_from_the_day_of_asking() -> None:
    _, query = parse_address("orthanc+http://host?days=2&modality=CT", today=TODAY)
    later = query.on(date(2026, 3, 11))
    assert (later.since, later.modality) == (date(2026, 3, 9), "CT")
    fixed = Query(since=date(2026, 1, 1))
    assert fixed.on(TODAY) == fixed


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("http://host/dicom-web", "expected one of"),
        ("dicomweb+http:/host", "expected one of"),
        ("dicomweb+http://", "host name"),
        ("dicomweb+http://host:99999/", "cannot be read"),
        ("dicomweb+http://host/a#b", "no #"),
        ("dicomweb+http://host/../etc", "plain path"),
        ("dicomweb+http://me:SECRET@host/", "netrc"),
        ("dimse://US:SECRET@host/THEM", "expected dimse://"),
        ("dimse://host/THEM", "expected dimse://"),
        ("dimse://US@host/", "expected dimse://"),
        ("dimse://US@host/NAME%5CTHEM", "expected dimse://"),
        ("dimse://ABCDEFGHIJKLMNOPQ@host/THEM", "at most 16"),
        ("orthanc+http://host?patients=SECRET", "unknown option.*known are.*patient"),
        ("orthanc+http://host?SECRET", "cannot be read"),
        ("orthanc+http://host?patient=SECRET*", "patient_id holds a wildcard"),
        ("orthanc+http://host?accession=SECRET%5CB", "accession holds"),
        ("orthanc+http://host?patient=" + 65 * "S", "65 characters"),
        ("orthanc+http://host?study=SECRET", "no DICOM UID"),
        ("orthanc+http://host?date=20260231", "date is"),
        ("orthanc+http://host?date=20260131-20260101", "after the last"),
        ("orthanc+http://host?days=0", "days is a whole number"),
        ("orthanc+http://host?connections=99", "from 1 to 16"),
        ("orthanc+http://host?own=maybe", "own is yes or no"),
        ("dimse://US@host/THEM?retrieve=post", "retrieve is one of"),
        ("dimse://US@host/THEM?receive=host", "port of receive"),
        ("orthanc+https://host?ca=/no/such/file", "is no file"),
        ("orthanc+http://host?ca=" + __file__, "without TLS"),
        ("orthanc+https://host?cert=" + __file__, "belong together"),
    ],
)
def test_a_wrong_address_is_refused_without_repeating_secrets(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        parse_address(text)
    assert "SECRET" not in str(caught.value)


def netrc(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def test_a_login_comes_from_the_file_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "logins"
    monkeypatch.setenv("NETRC", str(path))
    secure, _ = parse_address("dicomweb+https://host/")
    plain, _ = parse_address("dicomweb+http://host/")
    here, _ = parse_address("dicomweb+http://127.0.0.1:8042/")
    trusted, _ = parse_address("dicomweb+http://host/?plain_login=yes")
    assert login_headers(secure) == {}
    netrc(path, "machine host login me password word\nmachine 127.0.0.1 login bearer password T0\n")
    assert login_headers(secure) == login_headers(trusted) == {"authorization": "Basic bWU6d29yZA=="}
    assert login_headers(here) == {"authorization": "Bearer T0"}
    with pytest.raises(ConfigError, match="unprotected"):
        login_headers(plain)
    netrc(path, "default login me password word\n")
    assert login_headers(secure) == {}
    netrc(path, "machine host login me password word\n", 0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        login_headers(secure)
    netrc(path, "password word\n")
    with pytest.raises(ConfigError, match="no valid netrc") as caught:
        login_headers(secure)
    assert "word\n" not in str(caught.value)
