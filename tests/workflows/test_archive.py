from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from typer.testing import CliRunner

from medunet.cli import app
from medunet.errors import ConfigError, StudyError
from medunet.io.pacs import StudyFacts, TransientError, arrivals
from medunet.studies.ledger import Ledger
from medunet.studies.model import Model
from medunet.studies.reader import ReadLimits
from medunet.studies.scan import folders_of
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
    results = result_of(make_result(make_series(1, slices=4)), tmp_path)
    changes = archive.watched(address, tmp_path)
    ((cursor, _),) = changes.since(None)
    assert archive.push(results, address) == {"stored": 1, "already": 0, "failed": {}}
    assert archive.push(results, address) == {"stored": 0, "already": 1, "failed": {}}
    for _ in range(3):
        ((cursor, paths),) = changes.since(cursor)
        assert paths == ()


def result_of(made: Path, tmp_path: Path, name: str = "s1") -> Path:
    """Put a result where `studies run` would; return the folder of results."""
    folder = tmp_path / "results" / name
    folder.mkdir(parents=True)
    made.rename(folder / "seg.dcm")
    (folder / "result.json").write_text('{"identity": "i", "model_sha256": "m"}')
    return folder.parent


def test_what_a_pacs_accepted_is_not_offered_again(
    pacs: Stub, tmp_path: Path, make_series: MakeSeries, make_result: Callable[[Path], Path]
) -> None:
    address = ORTHANC.format(pacs.port)
    results = result_of(make_result(make_series(2, slices=4)), tmp_path)
    pacs.faults.extend(["500"] * 4)
    assert list(archive.push(results, address)["failed"]) == ["s1/seg.dcm"]
    assert archive.push(results, address)["stored"] == 1
    result_of(make_result(make_series(3, slices=4)), tmp_path, "s2")
    assert archive.push(results, address) == {"stored": 1, "already": 1, "failed": {}}
    assert pacs.archive.taken == 5 + 2
    asked = len(pacs.requests)
    for connect in ("", "?connections=2"):
        assert archive.push(results, address + connect) == {"stored": 0, "already": 2, "failed": {}}
    assert len(pacs.requests) == asked
    dataset = pydicom.dcmread(results / "s1/seg.dcm")
    dataset.SeriesDescription = "medunet, corrected"
    dataset.save_as(results / "s1/seg.dcm")
    archive.push(results, address)
    assert pacs.archive.taken == 5 + 3
    archive.push(results, DICOM_WEB.format(pacs.port))  # for all we know another PACS
    assert pacs.archive.taken == 5 + 5
    assert list(folders_of([results])) == []  # no record is taken for a scan


def test_a_push_that_ended_early_goes_on_where_it_was(
    pacs: Stub,
    tmp_path: Path,
    make_series: MakeSeries,
    make_result: Callable[[Path], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = ORTHANC.format(pacs.port)
    monkeypatch.setattr(archive, "PUSHED_AT_ONCE", 1)
    for number in (2, 3, 4):
        results = result_of(make_result(make_series(number, slices=4)), tmp_path, f"s{number}")
    remember, done = archive._remember, []

    def killed(record: Path, digests: list[str]) -> None:
        if done:
            record.write_text(record.read_text() + "\n" + digests[0][:20])
            raise KeyboardInterrupt
        done.append(digests)
        remember(record, digests)

    monkeypatch.setattr(archive, "_remember", killed)
    with pytest.raises(KeyboardInterrupt):
        archive.push(results, address)
    monkeypatch.setattr(archive, "_remember", remember)
    assert archive.push(results, address) == {"stored": 1, "already": 2, "failed": {}}
    asked = len(pacs.requests)
    assert archive.push(results, address)["already"] == 3
    assert len(pacs.requests) == asked


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
    result = result_of(make_result(make_series(1, slices=4)), tmp_path) / "s1"
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


@pytest.fixture(params=[DICOM_WEB, ORTHANC])
def address(request: pytest.FixtureRequest, pacs: Stub, monkeypatch: pytest.MonkeyPatch) -> str:
    """The PACS over both protocols; where it is polled, all dates count, and a study rests for no time."""
    monkeypatch.setattr(arrivals, "STABLE_S", 0.0)
    monkeypatch.setattr(arrivals, "WINDOW_DAYS", 36500)
    return str(request.param.format(pacs.port))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(str(tmp_path / "ledger.db"))
    yield opened
    opened.close()


class Fetches:
    """Counts what is fetched from a PACS, and fails for some studies."""

    def __init__(self, changes: archive.PacsChanges) -> None:
        self.tried: Counter[str] = Counter()
        self.fails: dict[str, BaseException] = {}
        self._real = changes.pacs.fetch
        changes.pacs.fetch = self.fetch

    def fetch(self, study: StudyFacts, folder: Path) -> list[Path]:
        self.tried[study.key] += 1
        if study.key in self.fails:
            raise self.fails[study.key]
        return self._real(study, folder)


def arrive(pacs: Stub, folder: Path) -> str:
    """Let a study arrive; return its hashed name."""
    pacs.archive.fill(folder)
    return StudyFacts(pydicom.dcmread(next(folder.iterdir())).StudyInstanceUID).key


def looks(count: int, ledger: Ledger, changes: archive.PacsChanges, order: studies.Order) -> int:
    return sum(studies.look(ledger, changes, order, ReadLimits()) for _ in range(count))


def test_one_study_that_cannot_be_fetched_holds_up_no_other_in_a_watch(
    pacs: Stub,
    address: str,
    ledger: Ledger,
    order: studies.Order,
    tmp_path: Path,
    make_series: MakeSeries,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = archive.watched(address, tmp_path)
    fetches = Fetches(changes)
    assert looks(1, ledger, changes, order) == 0
    lost, late, barred, good = (arrive(pacs, make_series(seed, slices=3)) for seed in (2, 3, 4, 5))
    fetches.fails = {
        lost: StudyError("a part is no DICOM file"),
        late: TransientError("cut short"),
        barred: ConfigError("HTTP 403"),
    }
    assert looks(9, ledger, changes, order) == 1
    assert (fetches.tried[good], fetches.tried[lost]) == (1, 1)
    assert min(fetches.tried[late], fetches.tried[barred]) >= 3
    told = capsys.readouterr().err
    assert told.count(f"study {lost} not fetched, left: a part") == 1
    assert told.count(f"study {late} not fetched, tried again: cut short") == 1
    assert told.count(f"study {barred} not fetched, tried again: HTTP 403") == 1
    again = archive.watched(address, tmp_path)  # after a restart
    fetches = Fetches(again)
    assert looks(3, ledger, again, order) == 2
    assert fetches.tried == {late: 1, barred: 1}


def test_what_was_not_fetched_when_the_command_ended_is_fetched_by_the_next(
    pacs: Stub, address: str, ledger: Ledger, order: studies.Order, tmp_path: Path, make_series: MakeSeries
) -> None:
    changes = archive.watched(address, tmp_path)
    fetches = Fetches(changes)
    looks(1, ledger, changes, order)
    _, second = (arrive(pacs, make_series(seed, slices=3)) for seed in (2, 3))
    fetches.fails = {second: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        looks(5, ledger, changes, order)
    assert ledger.counts() == {"queued": 1}
    again = archive.watched(address, tmp_path)
    fetches = Fetches(again)
    assert looks(3, ledger, again, order) == 1
    assert fetches.tried == {second: 1}


def test_studies_that_fail_again_and_again_do_not_delay_what_is_new(
    pacs: Stub, ledger: Ledger, order: studies.Order, tmp_path: Path, make_series: MakeSeries
) -> None:
    changes = archive.watched(ORTHANC.format(pacs.port), tmp_path)
    fetches = Fetches(changes)
    looks(1, ledger, changes, order)
    bad = [arrive(pacs, make_series(seed, slices=3)) for seed in (2, 3, 4)]
    fetches.fails = dict.fromkeys(bad, TransientError("cut short"))
    looks(1, ledger, changes, order)
    assert fetches.tried == dict.fromkeys(bad, 1)
    looks(3, ledger, changes, order)
    assert fetches.tried == dict.fromkeys(bad, 2)  # one a look, in turn
    new = arrive(pacs, make_series(5, slices=3))
    fetches.tried.clear()
    assert looks(1, ledger, changes, order) == 1
    assert list(fetches.tried) == [new, bad[0]]


def test_a_study_that_cannot_be_fetched_for_days_is_left(
    pacs: Stub,
    address: str,
    ledger: Ledger,
    order: studies.Order,
    tmp_path: Path,
    make_series: MakeSeries,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = archive.watched(address, tmp_path)
    fetches = Fetches(changes)
    looks(1, ledger, changes, order)
    key = arrive(pacs, make_series(2, slices=3))
    fetches.fails = {key: TransientError("cut short")}
    looks(3, ledger, changes, order)
    monkeypatch.setattr(archive, "GIVE_UP_S", 0.0)
    looks(1, ledger, changes, order)
    tried = fetches.tried[key]
    looks(3, ledger, changes, order)
    assert fetches.tried[key] == tried
    assert f"study {key} not fetched, left: cut short" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("query", "queued"), [("modality=MR", 0), ("modality=CT&patient=SECRET%207%2F7%5EB", 1)]
)
def test_a_watch_takes_what_its_address_asks_for(
    query: str,
    queued: int,
    pacs: Stub,
    address: str,
    ledger: Ledger,
    order: studies.Order,
    tmp_path: Path,
    make_series: MakeSeries,
) -> None:
    changes = archive.watched(f"{address}?{query}", tmp_path)
    looks(1, ledger, changes, order)
    arrive(pacs, make_series(2, slices=3))
    assert looks(4, ledger, changes, order) == queued


@pytest.mark.parametrize(
    ("query", "stable_s", "why"),
    [
        ("?own=yes", None, "own=yes asks for results"),
        ("?modality=SEG", None, "modality=SEG asks for results"),
        ("", 20.0, "--stable cannot be set here.*StableAge"),
    ],
)
def test_what_a_watch_cannot_do_is_refused(
    query: str, stable_s: float | None, why: str, pacs: Stub, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=why):
        archive.watched(ORTHANC.format(pacs.port) + query, tmp_path, stable_s)


def test_stable_is_for_folders_and_polled_pacs(pacs: Stub, tmp_path: Path) -> None:
    from medunet.cli.studies import _changes

    place = DICOM_WEB.format(pacs.port)
    assert _changes(place, 20.0, tmp_path / "out", tmp_path).wanted.stable_s == 20.0
    assert _changes(place, None, tmp_path / "out", tmp_path).wanted.stable_s is None
    assert _changes(str(tmp_path), 20.0, tmp_path / "out", tmp_path).stable_s == 20.0
    assert _changes(str(tmp_path), None, tmp_path / "out", tmp_path).stable_s == 30.0
    assert _changes(place, None, tmp_path / "out", tmp_path).every_s == 15.0
    with pytest.raises(ConfigError, match="--stable"):
        _changes(ORTHANC.format(pacs.port), 20.0, tmp_path / "out", tmp_path)


def test_a_cursor_of_something_else_is_refused(pacs: Stub, tmp_path: Path) -> None:
    changes = archive.watched(ORTHANC.format(pacs.port), tmp_path)
    for damaged in ("{", "7", '{"since": 4, "pending": []}', '{"pacs": "", "waiting": [1]}'):
        with pytest.raises(ConfigError, match="cursor.*--ledger"):
            list(changes.since(damaged))


def test_a_push_takes_no_query(
    pacs: Stub, tmp_path: Path, make_series: MakeSeries, make_result: Callable[[Path], Path]
) -> None:
    results = result_of(make_result(make_series(1, slices=4)), tmp_path)
    with pytest.raises(ConfigError, match=r"the query \(patient, days\)") as told:
        archive.push(results, ORTHANC.format(pacs.port) + "?patient=Nobody7&days=2&connections=2")
    assert "Nobody7" not in str(told.value)
    assert pacs.archive.taken == 5
