"""Orthanc's list of changes: complete studies, restarts, a database begun anew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

from medunet.errors import ConfigError, StudyError
from medunet.io.pacs import Pacs, Query, Wanted, open_pacs
from tests import orthanc
from tests.io.pacs.archive import Archive
from tests.io.pacs.stub import Stub


@pytest.fixture
def pacs(stub: Stub) -> Pacs:
    return open_pacs(f"orthanc+http://127.0.0.1:{stub.port}")[0]


def test_a_study_that_is_still_arriving_waits(
    stub: Stub, pacs: Pacs, archive: Archive, make_series: Callable, make_result: Callable
) -> None:
    folder = make_series()
    archive.fill(folder)
    archive.add(make_result(folder).read_bytes())
    stub.stable = False
    changes = pacs.changes("")
    assert changes.studies == ()
    assert len(json.loads(changes.cursor)["pending"]) == 1
    stub.stable = True
    told = pacs.changes(changes.cursor)  # no news in the list, but what waits is ready
    assert [series.modality for series in told.studies[0].series] == ["CT"]
    assert pacs.changes(told.cursor).studies == ()


def test_every_page_of_the_list_is_read(pacs: Pacs, archive: Archive, make_series: Callable) -> None:
    for seed in range(5):  # the stub gives two changes a page
        archive.fill(make_series(seed=seed, slices=1))
    changes = pacs.changes("")
    assert len(changes.studies) == 5
    assert json.loads(changes.cursor) == {"since": 5, "pending": []}
    assert json.loads(pacs.changes(None).cursor) == {"since": 5, "pending": []}


def test_a_deleted_study_is_forgotten_and_a_database_begun_anew_is_read_anew(
    stub: Stub, pacs: Pacs, archive: Archive, make_series: Callable
) -> None:
    archive.fill(make_series(seed=1))
    archive.fill(make_series(seed=2))
    stub.stable = False
    cursor = pacs.changes("").cursor
    archive.files.clear()
    archive.heads.clear()
    changes = pacs.changes(cursor)
    assert (changes.studies, json.loads(changes.cursor)["pending"]) == ((), [])
    stub.stable = True
    archive.fill(make_series(seed=3))
    assert len(pacs.changes(cursor).studies) == 1


@pytest.mark.parametrize(
    ("last_update", "told"), [("20260116T101500", 1), ("20260125T101500", 0), ("never", 0)]
)
def test_days_are_counted_from_the_arrival_of_a_study(
    last_update: str, told: int, stub: Stub, pacs: Pacs, archive: Archive, make_series: Callable
) -> None:
    archive.fill(make_series(day="20260115"))
    stub.last_update = last_update
    assert len(pacs.changes("", Wanted(Query(days=2))).studies) == told


@pytest.mark.parametrize("fault", ["wrong", "404", "garbage"])
def test_what_is_no_orthanc_is_told(fault: str, stub: Stub, pacs: Pacs) -> None:
    stub.faults.append(fault)
    with pytest.raises(StudyError, match="is this|HTTP 404"):
        pacs.changes("")


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[orthanc.Orthanc]:
    if why := orthanc.missing():
        pytest.skip(why)
    with orthanc.own_network():
        server = orthanc.Orthanc(tmp_path / "orthanc", StableAge=3).start()
        monkeypatch.setenv("NETRC", str(server.netrc()))
        yield server
        server.stop()


@pytest.mark.orthanc
def test_a_restart_before_a_study_is_stable_loses_nothing(
    real: orthanc.Orthanc, make_series: Callable
) -> None:
    pacs, _ = open_pacs(f"orthanc+http://127.0.0.1:{orthanc.HTTP_PORT}")
    cursor = pacs.changes(None).cursor
    folder = make_series()
    assert pacs.push(list(folder.iterdir())).complete
    cursor = pacs.changes(cursor).cursor
    real.stop()
    real.start()
    told: list[str] = []
    for _ in range(60):
        changes = pacs.changes(cursor)
        cursor = changes.cursor
        told += [study.uid for study in changes.studies]
        time.sleep(0.1)
    assert set(told) == {pydicom.dcmread(next(folder.iterdir())).StudyInstanceUID}


@pytest.mark.orthanc
def test_a_real_orthanc_wants_the_login(real: orthanc.Orthanc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", "/nowhere")
    with pytest.raises(ConfigError, match="valid login"):
        open_pacs(f"orthanc+http://127.0.0.1:{orthanc.HTTP_PORT}")[0].find(Query())


@pytest.mark.orthanc
def test_a_real_orthanc_that_does_not_know_our_title_says_so(
    real: orthanc.Orthanc, make_series: Callable, tmp_path: Path
) -> None:
    base = f"127.0.0.1:{orthanc.DICOM_PORT}/ORTHANC?retrieve=move"
    known, _ = open_pacs(f"dimse://MEDUNET@{base}")
    assert known.push(list(make_series().iterdir())).complete
    (study,) = known.find(Query())
    with pytest.raises((ConfigError, StudyError)) as caught:
        open_pacs(f"dimse://STRANGER@{base}")[0].fetch(study, tmp_path / "in")
    assert "STRANGER" in str(caught.value)
