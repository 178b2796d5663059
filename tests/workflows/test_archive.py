from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from typer.testing import CliRunner

from medunet.cli import app
from medunet.errors import ConfigError, StudyError
from medunet.studies.ledger import Ledger
from medunet.studies.model import Model
from medunet.studies.reader import ReadLimits
from medunet.workflows import archive, studies
from tests.io.pacs.archive import Archive
from tests.io.pacs.conftest import PATIENT, make_result, make_series, no_waiting
from tests.io.pacs.stub import Stub
from tests.studies.conftest import make_run

__all__ = ["make_result", "make_series", "no_waiting"]  # fixtures
DICOM_WEB, ORTHANC = "dicomweb+http://127.0.0.1:{}/dicom-web", "orthanc+http://127.0.0.1:{}"
MakeSeries = Callable[..., Path]


@pytest.fixture
def pacs(make_series: MakeSeries) -> Iterator[Stub]:
    """A PACS with one study of the phantom."""
    held = Archive()
    held.fill(make_series(1))
    server = Stub(held)
    yield server
    server.close()


@pytest.fixture
def order(tmp_path: Path) -> studies.Order:
    model = Model.open(make_run(tmp_path / "run", modality="CT").path)
    return studies.Order(model, tmp_path / "out", ("seg",))


def test_studies_of_a_pacs_are_fetched_and_queued(pacs: Stub, order: studies.Order, tmp_path: Path) -> None:
    place = f"{DICOM_WEB.format(pacs.port)}?modality=CT"
    paths, failed = archive.gather([place, str(tmp_path / "here")], tmp_path)
    assert failed == {}
    assert paths[1:] == [tmp_path / "here"]
    (fetched,) = paths[:1]
    assert fetched.parent == tmp_path / archive.FETCHED
    assert len(list(fetched.rglob("*"))) >= 5
    assert PATIENT.split()[0] not in str(list(fetched.rglob("*")))
    ledger = Ledger(str(tmp_path / "ledger.db"))
    assert studies.add(ledger, paths[:1], order, ReadLimits(), quiet=True)["added"] == 1
    again, _ = archive.gather([place], tmp_path)
    assert studies.add(ledger, again, order, ReadLimits(), quiet=True)["known"] == 1
    ledger.close()


def test_a_question_without_an_answer_names_nobody(pacs: Stub, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no study fits") as told:
        archive.gather([f"{DICOM_WEB.format(pacs.port)}?patient=Nobody7"], tmp_path)
    assert "Nobody7" not in str(told.value)


def test_what_arrives_in_a_pacs_is_queued_once(
    pacs: Stub, order: studies.Order, tmp_path: Path, make_series: MakeSeries
) -> None:
    ledger = Ledger(str(tmp_path / "ledger.db"))
    changes = archive.watched(ORTHANC.format(pacs.port), tmp_path)
    assert studies.look(ledger, changes, order, ReadLimits()) == 0  # from now on
    assert ledger.cursor(changes.name) is not None
    pacs.archive.fill(make_series(2))
    told = [studies.look(ledger, changes, order, ReadLimits()) for _ in range(4)]
    assert sum(told) == 1
    ledger.close()


def test_results_go_back_once_and_are_no_news(
    pacs: Stub,
    order: studies.Order,
    tmp_path: Path,
    make_series: MakeSeries,
    make_result: Callable[[Path], Path],
) -> None:
    address = ORTHANC.format(pacs.port)
    with pytest.raises(ConfigError, match="no DICOM results"):
        archive.push(tmp_path, address)
    result = tmp_path / "results/s1"
    result.mkdir(parents=True)
    make_result(make_series(1, slices=4)).rename(result / "seg.dcm")
    (result / "result.json").write_text("{}")
    changes = archive.watched(address, tmp_path)
    cursor, _ = changes.since(None)
    assert archive.push(tmp_path / "results", address) == {"stored": 1, "already": 0, "failed": {}}
    assert archive.push(tmp_path / "results", address) == {"stored": 0, "already": 1, "failed": {}}
    for _ in range(3):
        cursor, groups = changes.since(cursor)
        assert groups == []
    pacs.faults.extend(["500"] * 20)
    told = archive.push(tmp_path / "results", address)
    assert list(told["failed"]) == ["s1/seg.dcm"]


def test_a_study_that_cannot_be_fetched_costs_only_itself(
    pacs: Stub, tmp_path: Path, make_series: MakeSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    pacs.archive.fill(make_series(2))
    real, calls = archive._fetched, []

    def fetch(*args: object) -> Path:
        calls.append(args)
        if len(calls) == 1:
            raise StudyError("the line was cut")
        return real(*args)

    monkeypatch.setattr(archive, "_fetched", fetch)
    paths, failed = archive.gather([DICOM_WEB.format(pacs.port)], tmp_path)
    assert len(paths) == 1
    assert list(failed.values()) == ["the line was cut"]


def test_push_by_the_command(
    pacs: Stub, tmp_path: Path, make_series: MakeSeries, make_result: Callable[[Path], Path]
) -> None:
    result = tmp_path / "results/s1"
    result.mkdir(parents=True)
    make_result(make_series(1, slices=4)).rename(result / "seg.dcm")
    (result / "result.json").write_text("{}")
    told = CliRunner().invoke(
        app,
        [
            "studies",
            "push",
            str(tmp_path / "results"),
            ORTHANC.format(pacs.port),
            "--json",
            str(tmp_path / "j"),
        ],
    )
    assert told.exit_code == 0, told.output
    assert json.loads((tmp_path / "j").read_text())["stored"] == 1
    held = [head for head in pacs.archive.heads.values() if head.Modality == "SEG"]
    assert [pydicom.dcmread(result / "seg.dcm").SOPInstanceUID] == [head.SOPInstanceUID for head in held]
