"""HTTP that goes wrong: retries, limits, verification; and an independent client as judge."""

from __future__ import annotations

import errno
import logging
import ssl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient

from medunet.errors import ConfigError, StudyError
from medunet.io.pacs import Limits, Pacs, Query, TransientError, connect, open_pacs, parse_address
from medunet.io.pacs.landing import Landing
from tests.io.pacs.archive import Archive
from tests.io.pacs.stub import Stub
from tests.io.pacs.tls import certificates


@pytest.fixture
def pacs(stub: Stub) -> Pacs:
    return open_pacs(f"dicomweb+http://127.0.0.1:{stub.port}/dicom-web")[0]


@pytest.mark.parametrize("fault", ["503", "429", "500", "hang up"])
def test_what_may_pass_is_asked_again_and_what_stays_is_told(fault: str, stub: Stub, pacs: Pacs) -> None:
    stub.faults.extend([fault, fault, fault])
    pacs.check()
    assert len(stub.requests) == 4
    stub.faults.extend([fault] * 4)
    with pytest.raises(StudyError, match="HTTP|cannot be reached") as caught:
        pacs.check()
    assert "Planted" not in str(caught.value)
    assert len(stub.requests) == 8


@pytest.mark.parametrize(
    ("fault", "kind", "why"),
    [
        ("401", ConfigError, "valid login"),
        ("403", ConfigError, "valid login"),
        ("302", ConfigError, "final address"),
        ("400", StudyError, "HTTP 400"),
        ("404", StudyError, "HTTP 404"),
        ("garbage", StudyError, "no JSON"),
        ("deep", StudyError, "no JSON"),
        ("wrong", StudyError, "no list"),
    ],
)
def test_what_does_not_pass_is_told_at_once(fault: str, kind: type, why: str, stub: Stub, pacs: Pacs) -> None:
    stub.faults.append(fault)
    with pytest.raises(kind, match=why) as caught:
        pacs.find(Query())
    assert "Planted" not in str(caught.value)
    assert len(stub.requests) == 1


def test_every_page_of_an_answer_is_read(
    stub: Stub, pacs: Pacs, archive: Archive, make_series: Callable
) -> None:
    for seed in range(5):  # the stub gives two a page, however many are asked for
        archive.fill(make_series(seed=seed, slices=1))
    assert len(pacs.find(Query())) == 5
    stub.faults.extend(["ignore offset"] * 20)
    assert len(pacs.find(Query())) == 2  # and no end of them


def test_an_answer_has_an_end(stub: Stub, archive: Archive, make_series: Callable) -> None:
    archive.fill(make_series())
    address, _ = parse_address(f"dicomweb+http://127.0.0.1:{stub.port}/dicom-web")
    with pytest.raises(StudyError, match="more than 100 bytes"):
        connect(address, Limits(answer_bytes=100)).find(Query())


def test_a_repeated_upload_sends_everything_again(
    stub: Stub, pacs: Pacs, archive: Archive, make_series: Callable
) -> None:
    files = sorted(make_series().iterdir())
    stub.faults.append("503")
    assert sorted(pacs.push(files).stored) == files
    assert sorted(archive.files.values()) == sorted(path.read_bytes() for path in files)
    lengths = [int(headers["content-length"]) for _, _, headers in stub.requests]
    assert lengths == [lengths[0]] * 2


@pytest.mark.parametrize("fault", ["cut", "fewer", "503", "hang up"])
def test_a_transfer_that_broke_off_is_repeated_or_told(
    fault: str, stub: Stub, pacs: Pacs, archive: Archive, make_series: Callable, tmp_path: Path
) -> None:
    archive.fill(make_series())
    (study,) = pacs.find(Query())
    stub.faults.extend([fault] * 3)
    assert len(pacs.fetch(study, tmp_path / "in")) == 5
    stub.faults.extend([fault] * 4)
    with pytest.raises(StudyError):
        pacs.fetch(study, tmp_path / "again")
    assert all(path.read_bytes() in archive.files.values() for path in (tmp_path / "again").iterdir())


def test_what_is_no_dicom_is_refused(
    stub: Stub, pacs: Pacs, archive: Archive, make_series: Callable, tmp_path: Path
) -> None:
    archive.fill(make_series())
    (study,) = pacs.find(Query())
    stub.faults.append("no dicom")
    with pytest.raises(StudyError, match="no DICOM file"):
        pacs.fetch(study, tmp_path / "in")


@pytest.mark.parametrize(("fault", "lost"), [("refuse", 1), ("forget", 30), ("400", 25)])
def test_each_instance_that_is_not_stored_is_told(
    fault: str, lost: int, stub: Stub, archive: Archive, make_series: Callable
) -> None:
    pacs, _ = open_pacs(f"dicomweb+http://127.0.0.1:{stub.port}/dicom-web?connections=1")
    files = sorted(make_series(slices=30).iterdir())
    stub.faults.extend([fault] * (2 if fault == "forget" else 1))
    report = pacs.push(files)
    assert len(stub.requests) == 2  # batches of 25 and 5
    assert len(report.failed) == lost
    assert sorted([*report.stored, *report.failed]) == files
    why = {"refuse": "0xA900", "forget": "does not say", "400": "HTTP 400"}[fault]
    assert all(why in reason for reason in report.failed.values())
    again = pacs.push(files)
    assert again.complete
    assert len(archive.files) == 30


def test_uids_of_a_hostile_pacs_do_not_reach_a_url(
    stub: Stub, pacs: Pacs, archive: Archive, make_series: Callable
) -> None:
    archive.fill(make_series())
    head = next(iter(archive.heads.values()))
    head.StudyInstanceUID = "../../changes"
    assert [study.uid for study in pacs.find(Query())] == [
        next(reversed(archive.heads.values())).StudyInstanceUID
    ]
    assert not [path for _, path, _ in stub.requests if ".." in path]


def test_the_login_is_sent(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "logins").write_text("machine 127.0.0.1 login me password word\n", encoding="utf-8")
    (tmp_path / "logins").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "logins"))
    open_pacs(f"dicomweb+http://127.0.0.1:{stub.port}/dicom-web")[0].check()
    ((_, _, headers),) = stub.requests
    assert headers["authorization"] == "Basic bWU6d29yZA=="


def test_a_certificate_is_verified(archive: Archive, tmp_path: Path) -> None:
    made = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server, made.server_key)
    with closing(Stub(archive, context)) as stub:
        base = f"dicomweb+https://127.0.0.1:{stub.port}/dicom-web"
        open_pacs(f"{base}?ca={made.authority}")[0].check()
        with pytest.raises(ConfigError, match="not trusted"):
            open_pacs(base)[0].check()
        with pytest.raises(ConfigError, match="not trusted"):  # the certificate is for 127.0.0.1
            open_pacs(f"{base.replace('127.0.0.1', 'localhost')}?ca={made.authority}")[0].check()
        with pytest.raises(ConfigError, match="PEM"):
            open_pacs(f"{base}?ca={__file__}")


def test_the_stub_is_a_server_that_another_client_understands(
    stub: Stub, pacs: Pacs, make_series: Callable, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise our client and our stub could agree on something that is no DICOMweb."""
    caplog.set_level(logging.CRITICAL)  # the other client logs UIDs
    judge = DICOMwebClient(f"http://127.0.0.1:{stub.port}/dicom-web")
    files = sorted(make_series().iterdir())
    judge.store_instances([pydicom.dcmread(path) for path in files[:3]])
    pacs.push(files)
    (study,) = pacs.find(Query())
    (found,) = judge.search_for_studies()
    assert found["0020000D"]["Value"] == [study.uid]
    (series,) = judge.search_for_series(study.uid)
    assert series["0020000E"]["Value"] == [study.series[0].uid]
    theirs = {str(d.SOPInstanceUID): d for d in judge.iter_series(study.uid, study.series[0].uid)}
    ours = {str(d.SOPInstanceUID): d for d in map(pydicom.dcmread, pacs.fetch(study, tmp_path / "in"))}
    assert ours == theirs
    assert len(ours) == 5
    judge._session.close()


def test_a_full_disk_may_pass(
    pacs: Pacs, archive: Archive, make_series: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    archive.fill(make_series())
    (study,) = pacs.find(Query())
    monkeypatch.setattr(Landing, "add", full)
    with pytest.raises(TransientError, match="No space left.*make room"):
        pacs.fetch(study, tmp_path / "in")
