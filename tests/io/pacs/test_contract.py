"""What every kind of PACS does alike: the stub, the DIMSE peer by C-GET and C-MOVE, and a real Orthanc."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import pydicom
import pytest

from medunet.errors import ConfigError, StudyError
from medunet.io.pacs import (
    Changes,
    Limits,
    Pacs,
    Query,
    StudyFacts,
    Wanted,
    arrivals,
    connect,
    open_pacs,
    parse_address,
)
from medunet.io.pacs.records import hashed
from tests import orthanc
from tests.io.pacs.archive import Archive
from tests.io.pacs.conftest import ACCESSION, PATIENT
from tests.io.pacs.peer import Peer
from tests.io.pacs.stub import Stub

REAL = pytest.mark.orthanc
KINDS = [
    "dicomweb",
    "orthanc",
    "dimse-get",
    "dimse-move",
    pytest.param("real-dicomweb", marks=REAL),
    pytest.param("real-orthanc", marks=REAL),
    pytest.param("real-dimse-get", marks=REAL),
    pytest.param("real-dimse-move", marks=REAL),
]


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=KINDS)
def address(
    request: pytest.FixtureRequest, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The address of a running, empty PACS of each kind."""
    kind = request.param.removeprefix("real-")
    monkeypatch.setattr(arrivals, "STABLE_S", 0.0)
    monkeypatch.setattr(arrivals, "WINDOW_DAYS", 36500)
    if request.param.startswith("real-"):
        if why := orthanc.missing():
            pytest.skip(why)
        with orthanc.own_network():
            server = orthanc.Orthanc(tmp_path / "orthanc").start()
            monkeypatch.setenv("NETRC", str(server.netrc()))
            web = f"http://127.0.0.1:{orthanc.HTTP_PORT}"
            dimse = f"dimse://MEDUNET@127.0.0.1:{orthanc.DICOM_PORT}/ORTHANC?retrieve={kind[6:]}"
            yield {"dicomweb": f"dicomweb+{web}/dicom-web", "orthanc": f"orthanc+{web}"}.get(kind, dimse)
            server.stop()
    elif kind.startswith("dimse"):
        peer, port = Peer(archive), free_port()
        peer.receivers["MEDUNET"] = ("127.0.0.1", port)
        yield f"dimse://MEDUNET@127.0.0.1:{peer.port}/ARCHIVE?retrieve={kind[6:]}&receive={port}"
        peer.close()
    else:
        stub = Stub(archive)
        root = "/dicom-web" if kind == "dicomweb" else ""
        yield f"{kind}+http://127.0.0.1:{stub.port}{root}"
        stub.close()


@pytest.fixture
def pacs(address: str) -> Pacs:
    return open_pacs(address)[0]


def test_what_is_pushed_is_found_and_fetched_as_it_was(
    pacs: Pacs, make_series: Callable, tmp_path: Path
) -> None:
    pacs.check()
    assert pacs.find(Query()) == []
    files = sorted(make_series(slices=30).iterdir())
    report = pacs.push(files)
    assert (set(report.stored), report.already, report.failed) == (set(files), (), {})
    (study,) = pacs.find(Query(patient_id=PATIENT))
    (series,) = study.series
    assert (study.instances, series.instances, series.modality, series.manufacturer) == (
        30,
        30,
        "CT",
        "Maker",
    )
    assert (study.uid, series.description) == (pydicom.dcmread(files[0]).StudyInstanceUID, "phantom")
    fetched = pacs.fetch(study, tmp_path / "in")
    sent = {hashed(pydicom.dcmread(path).SOPInstanceUID): pydicom.dcmread(path) for path in files}
    assert [path.stem for path in fetched] == sorted(sent)
    assert sorted((tmp_path / "in").iterdir()) == fetched  # nothing else is left there
    for path in fetched:
        assert pydicom.dcmread(path) == sent[path.stem]
        assert (
            pydicom.dcmread(path).file_meta.TransferSyntaxUID == sent[path.stem].file_meta.TransferSyntaxUID
        )


def test_pushing_and_fetching_again_repeats_nothing(
    pacs: Pacs, make_series: Callable, tmp_path: Path
) -> None:
    files = sorted(make_series().iterdir())
    assert pacs.push(files).complete
    again = pacs.push([*files, files[0]])
    assert again.complete
    assert sorted([*again.stored, *again.already]) == files
    (study,) = pacs.find(Query())
    assert study.instances == 5
    first = [path.read_bytes() for path in pacs.fetch(study, tmp_path / "in")]
    assert [path.read_bytes() for path in pacs.fetch(study, tmp_path / "in")] == first


def test_a_query_chooses_studies_and_series(pacs: Pacs, make_series: Callable, make_result: Callable) -> None:
    folder = make_series(seed=1)
    other = make_series(seed=2, day="20260220")
    result = make_result(folder)
    assert pacs.push([*folder.iterdir(), *other.iterdir(), result]).complete
    uids = [pydicom.dcmread(next(f.iterdir())).StudyInstanceUID for f in (folder, other)]

    def found(**asked: object) -> list[str]:
        return sorted(study.uid for study in pacs.find(Query(**asked)))

    assert found() == sorted(uids)
    assert found(study_uid=uids[1]) == [uids[1]]
    assert found(since=date(2026, 2, 1)) == [uids[1]]
    assert found(until=date(2026, 2, 1)) == [uids[0]]
    assert found(since=date(2026, 1, 15), until=date(2026, 1, 15)) == [uids[0]]
    assert found(patient_id="SECRET 7") == found(accession="ACC") == found(modality="MR") == []
    assert found(patient_id=PATIENT) == sorted(uids)  # with characters that URLs escape
    assert found(accession=ACCESSION) == found(description="CT*chest") == found(modality="CT") == sorted(uids)
    assert found(description="*head*") == []
    (study,) = pacs.find(Query(study_uid=uids[0]))
    assert [series.modality for series in study.series] == ["CT"]
    (study,) = pacs.find(Query(study_uid=uids[0], own=True))
    assert sorted(series.modality for series in study.series) == ["CT", "SEG"]
    (study,) = pacs.find(Query(study_uid=uids[0], own=True, modality="SEG"))
    assert [series.modality for series in study.series] == ["SEG"]


def test_a_pacs_that_ignores_what_it_is_asked_gives_no_other_patient(
    pacs: Pacs, archive: Archive, make_series: Callable
) -> None:
    pacs.push(list(make_series(slices=1).iterdir()))
    archive.ignores_keys = True
    for asked in (
        Query(patient_id="SOMEONE ELSE^1"),
        Query(accession="OTHER"),
        Query(study_uid="1.2.3"),
        Query(description="*head*"),
        Query(since=date(2026, 2, 1)),
        Query(until=date(2026, 1, 1)),
        Query(modality="MR"),
    ):
        assert pacs.find(asked) == []
    assert len(pacs.find(Query(patient_id=PATIENT, description="CT*", since=date(2026, 1, 15)))) == 1


def test_only_the_named_series_are_fetched_and_without_names_the_scans(
    pacs: Pacs, make_series: Callable, make_result: Callable, tmp_path: Path
) -> None:
    folder, second = make_series(), make_series(series=2, slices=4)
    assert pacs.push([*folder.iterdir(), *second.iterdir(), make_result(folder)]).complete
    (study,) = pacs.find(Query(own=True))
    assert len(study.series) == 3
    (wanted,) = (series for series in study.series if series.instances == 4)
    assert len(pacs.fetch(replace(study, series=(wanted,)), tmp_path / "one")) == 4
    assert len(pacs.fetch(StudyFacts(study.uid), tmp_path / "scans")) == 9
    assert len(pacs.fetch(study, tmp_path / "all")) == 10


def wait_for(pacs: Pacs, cursor: str, wanted: Wanted = Wanted()) -> Changes:  # noqa: B008 - frozen
    """Poll as `watch` does, until something is told."""
    for _ in range(100):
        changes = pacs.changes(cursor, wanted)
        if changes.studies:
            return changes
        cursor = changes.cursor
        time.sleep(0.1)
    raise AssertionError("no change is told")


def quiet(pacs: Pacs, cursor: str, seconds: float) -> str:
    """Poll for a while in which nothing may be told."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        changes = pacs.changes(cursor)
        assert changes.studies == ()
        cursor = changes.cursor
        time.sleep(0.1)
    return cursor


def test_new_scans_are_told_once_and_own_results_never(
    pacs: Pacs, address: str, make_series: Callable, make_result: Callable
) -> None:
    old, new = make_series(seed=1), make_series(seed=2, slices=3)
    patience_s = 3.5 if "18042" in address or "14242" in address else 0.3
    pacs.push(list(old.iterdir()))
    quiet(pacs, pacs.changes("").cursor, 0) if patience_s < 1 else time.sleep(patience_s)
    start = pacs.changes(None)
    assert start.studies == ()
    pacs.push(list(new.iterdir()))
    changes = wait_for(pacs, start.cursor)
    assert [study.uid for study in changes.studies] == [pydicom.dcmread(next(new.iterdir())).StudyInstanceUID]
    assert [series.instances for series in changes.studies[0].series] == [3]
    cursor = quiet(pacs, changes.cursor, patience_s)
    assert pacs.push([make_result(new), make_result(old)]).complete
    cursor = quiet(pacs, cursor, patience_s)
    late = make_series(seed=2, series=2, slices=2)
    pacs.push(list(late.iterdir()))
    changes = wait_for(pacs, cursor)
    assert sorted(series.instances for series in changes.studies[0].series) == [2, 3]
    quiet(pacs, changes.cursor, patience_s)


def test_a_watch_takes_what_the_query_says_and_nothing_else(pacs: Pacs, make_series: Callable) -> None:
    folder = make_series(day="20260220")
    uid = pydicom.dcmread(next(folder.iterdir())).StudyInstanceUID
    takes = [
        Query(patient_id=PATIENT, accession=ACCESSION, modality="CT"),
        Query(study_uid=uid, until=date(2026, 2, 20)),
        Query(description="*chest", since=date(2026, 2, 1)),
        Query(days=36500),
    ]
    leaves = [
        Query(patient_id="OTHER"),
        Query(accession="OTHER"),
        Query(study_uid="1.2.3"),
        Query(description="*head*"),
        Query(modality="MR"),
        Query(since=date(2026, 2, 21)),
        Query(until=date(2026, 2, 19)),
    ]
    starts = [pacs.changes(None, Wanted(query)).cursor for query in takes + leaves]
    pacs.push(list(folder.iterdir()))
    for query, start in zip(takes, starts, strict=False):
        changes = wait_for(pacs, start, Wanted(query))
        told = [(study.uid, series.modality) for study in changes.studies for series in study.series]
        assert told == [(uid, "CT")]
    for query, start in zip(leaves, starts[len(takes) :], strict=True):
        cursor = start
        for _ in range(4):
            changes = pacs.changes(cursor, Wanted(query))
            assert changes.studies == ()
            cursor = changes.cursor


def test_what_was_not_taken_is_told_again_until_it_is(pacs: Pacs, make_series: Callable) -> None:
    start = pacs.changes(None).cursor
    folder = make_series()
    pacs.push(list(folder.iterdir()))
    told = wait_for(pacs, start)
    (study,) = told.studies
    assert study.uid not in study.mark
    for _ in range(3):
        told = pacs.changes(told.cursor, Wanted(again={study.mark: time.time()}))
        assert told.studies == (study,)
    assert pacs.changes(told.cursor).studies == ()


def test_a_cursor_shows_nobody_and_a_damaged_one_is_refused(pacs: Pacs, make_series: Callable) -> None:
    folder = make_series()
    pacs.push(list(folder.iterdir()))
    cursor = pacs.changes("").cursor
    assert pydicom.dcmread(next(folder.iterdir())).StudyInstanceUID not in cursor
    for damaged in ("{", "[1]", '{"a": 1}', "7"):
        with pytest.raises(ConfigError, match="damaged"):
            pacs.changes(damaged)


# pynetdicom leaves the socket of a connection that is ended by force to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "limits", [Limits(instances=3), Limits(instance_bytes=500), Limits(study_bytes=2500)]
)
def test_more_than_the_limits_is_refused(
    limits: Limits, pacs: Pacs, address: str, make_series: Callable, tmp_path: Path
) -> None:
    pacs.push(list(make_series().iterdir()))
    (study,) = pacs.find(Query())
    bounded = connect(parse_address(address)[0], limits)
    with pytest.raises(StudyError, match="more than"):
        bounded.fetch(study, tmp_path / "in")
    assert not list((tmp_path / "in").glob(".part*"))
    assert len(list((tmp_path / "in").iterdir())) <= 3


def test_too_many_answers_are_refused(pacs: Pacs, address: str, make_series: Callable) -> None:
    pacs.push([*make_series(seed=1, slices=1).iterdir(), *make_series(seed=2, slices=1).iterdir()])
    assert len(pacs.find(Query())) == 2
    with pytest.raises(StudyError, match="narrow it"):
        connect(parse_address(address)[0], Limits(studies=1)).find(Query())


def test_a_study_that_is_gone_is_an_error_that_names_nobody(
    pacs: Pacs, make_series: Callable, tmp_path: Path
) -> None:
    pacs.push(list(make_series().iterdir()))
    (study,) = pacs.find(Query())
    gone = replace(study, series=(replace(study.series[0], uid="1.2.826.99"),))
    with pytest.raises(StudyError) as caught:
        pacs.fetch(gone, tmp_path / "in")
    assert not re.search(r"SECRET|Planted|1\.2\.826", str(caught.value))
    assert caught.value.__cause__ is None


def test_no_record_shows_the_patient(pacs: Pacs, make_series: Callable) -> None:
    pacs.push(list(make_series().iterdir()))
    asked = Query(patient_id=PATIENT, accession=ACCESSION)
    shown = repr(asked) + repr(pacs.find(asked)) + repr(pacs.changes("").studies)
    assert not re.search(r"SECRET|ACC-|\d\.\d", shown)


def test_files_that_are_no_dicom_fail_alone(pacs: Pacs, make_series: Callable, tmp_path: Path) -> None:
    files = sorted(make_series().iterdir())
    (tmp_path / "text").write_text("hello", encoding="utf-8")
    report = pacs.push([*files, tmp_path / "text", tmp_path / "absent"])
    assert sorted([*report.stored, *report.already]) == files
    assert sorted(report.failed) == [tmp_path / "absent", tmp_path / "text"]
    assert not report.complete


# pynetdicom leaves the socket of a refused connection to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("scheme", ["dicomweb+http", "orthanc+http", "dimse"])
def test_a_pacs_out_of_reach_is_told(scheme: str, make_series: Callable, tmp_path: Path) -> None:
    place = f"127.0.0.1:{free_port()}"
    pacs, _ = open_pacs(f"dimse://US@{place}/THEM" if scheme == "dimse" else f"{scheme}://{place}/root")
    for ask in (
        pacs.check,
        lambda: pacs.find(Query()),
        lambda: pacs.changes(None),
        lambda: pacs.fetch(StudyFacts("1.2.3"), tmp_path / "in"),
    ):
        with pytest.raises(StudyError, match=f"{place}.*check host and port"):
            ask()
    files = list(make_series().iterdir())
    report = pacs.push(files)
    assert report.failed.keys() == set(files)
    assert all("check host and port" in why for why in report.failed.values())
