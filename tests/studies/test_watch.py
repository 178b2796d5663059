from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from medunet.errors import ConfigError
from medunet.io.dicom.ct_series import write_ct_series
from medunet.studies import engines
from medunet.studies.ledger import Ledger
from medunet.studies.model import Model
from medunet.studies.reader import ReadLimits
from medunet.studies.settings import WorkSettings
from medunet.studies.watch import FolderChanges, Step
from medunet.workflows.studies import Order, look, watch
from tests.phantoms import RAS_1MM, two_balls
from tests.studies.conftest import scans


def told(changes: FolderChanges, cursor: str | None) -> tuple[str, list[Sequence[Path]]]:
    """Take every step; return the last cursor and what is to be queued."""
    steps = list(changes.since(cursor))
    return steps[-1][0], [paths for _, paths in steps if paths]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_stable_is_told_once(tmp_path: Path):
    clock = Clock()
    changes = FolderChanges(tmp_path, 10, [tmp_path / "out"], clock)
    scans(tmp_path / "a", 2)
    scans(tmp_path / "out", 1)
    cursor, ready = told(changes, None)
    assert ready == []
    clock.now = 6
    scans(tmp_path / "a", 3)  # one more arrives
    scans(tmp_path, 1)
    cursor, ready = told(changes, cursor)
    clock.now = 12
    assert told(changes, cursor)[1] == []
    clock.now = 16
    cursor, ready = told(changes, cursor)
    assert ready == [[tmp_path / "a"], [tmp_path / "Smith_000.nii.gz"]]
    clock.now = 30
    assert told(changes, cursor)[1] == []
    again = FolderChanges(tmp_path, 0, [tmp_path / "out"], clock)  # after a restart
    assert told(again, cursor)[1] == []
    assert "Smith" not in cursor
    (tmp_path / "a/Smith_000.nii.gz").unlink()
    assert told(again, cursor)[1] == [[tmp_path / "a"]]
    assert len(json.loads(told(again, None)[0])) == 2


def test_a_watched_folder_is_queued_once_and_never_its_own_results(
    tmp_path: Path, ledger: Ledger, model: Model
):
    folder = tmp_path / "in"
    scans(folder / "one", 2)
    scans(folder / "results/x", 1)
    (folder / "results/x/result.json").write_text('{"identity": "i", "model_sha256": "m"}')
    order = Order(model, folder / "results")
    for expected in (2, 0):
        assert look(ledger, FolderChanges(folder, 0, [folder / "results"]), order, ReadLimits()) == expected
    assert look(ledger, FolderChanges(folder, 0), order, ReadLimits()) == 0  # the marker alone tells
    assert ledger.cursor(FolderChanges(folder, 0).name) is not None


def test_a_delivery_in_several_folders_is_one_study(tmp_path: Path, ledger: Ledger, model: Model):
    image = two_balls(0, (8, 9, 6))[0].astype("int16")
    write_ct_series(tmp_path / "in/one/a", image, RAS_1MM, patient_id="p", description="d", seed=1)
    (tmp_path / "in/one/b").mkdir()
    (tmp_path / "in/one/a/0001.dcm").rename(tmp_path / "in/one/b/0001.dcm")
    assert look(ledger, FolderChanges(tmp_path / "in", 0), Order(model, tmp_path / "out"), ReadLimits()) == 1
    task = ledger.claim("worker", 5)
    assert task is not None
    assert [len(image.files) for image in task.request.images] == [6]


def test_a_delivery_that_cannot_be_looked_at_is_told(
    tmp_path: Path, ledger: Ledger, model: Model, monkeypatch: pytest.MonkeyPatch
):
    scans(tmp_path / "in/closed", 1)
    listed = os.scandir

    def scandir(path: object) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    changes, order = FolderChanges(tmp_path / "in", 0), Order(model, tmp_path / "out")
    monkeypatch.setattr(os, "scandir", scandir)
    assert look(ledger, changes, order, ReadLimits()) == 0
    assert ledger.counts() == {"refused": 1}
    monkeypatch.undo()
    assert look(ledger, changes, order, ReadLimits()) == 1


def test_watching_goes_on_when_the_source_is_away_and_ends_in_order(
    tmp_path: Path,
    ledger: Ledger,
    model: Model,
    settings: WorkSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    class Crew:
        rounds, ended = 0, False

        def tend(self) -> bool:
            self.rounds += 1
            if self.rounds == 3:
                scans(tmp_path / "in/late", 1)
            if self.rounds == 6:
                os.kill(os.getpid(), signal.SIGTERM)
            return True

        def end(self) -> None:
            self.ended = True

    crew, asked = Crew(), list[WorkSettings]()

    def start(name: str, settings: WorkSettings, *_: object) -> Crew:
        asked.append(settings)
        return crew

    monkeypatch.setattr(engines, "start", start)
    before = signal.getsignal(signal.SIGTERM)
    told = watch(ledger, FolderChanges(tmp_path / "in", 0), Order(model, tmp_path / "out"), settings)
    assert told == {"done": 0, "failed": 0, "refused": 0, "stopped": True}
    assert (crew.rounds, crew.ended, asked[0].forever) == (6, True, True)
    assert ledger.counts() == {"queued": 1}
    assert signal.getsignal(signal.SIGTERM) == before
    assert capsys.readouterr().err.count("tried again") == 1  # the folder was not there at first


def test_watching_ends_by_itself_when_no_worker_can_go_on(
    tmp_path: Path,
    ledger: Ledger,
    settings: WorkSettings,
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
):
    crew = SimpleNamespace(tend=lambda: False, end=lambda: None)
    monkeypatch.setattr(engines, "start", lambda *_: crew)
    told = watch(ledger, FolderChanges(tmp_path, 0), Order(model, tmp_path / "out"), settings)
    assert told["stopped"] is False


def test_the_cursor_moves_only_when_all_is_queued(tmp_path: Path, ledger: Ledger, model: Model):
    class Pacs:
        name, every_s = "pacs", 0.0

        def since(self, cursor: str | None) -> Iterator[Step]:
            first = int(cursor or 0)
            for number in (first, first + 1):
                yield str(number + 1), [tmp_path / f"fetched{number}"]

    scans(tmp_path / "fetched0", 1)
    scans(tmp_path / "fetched1", 1)  # the same scans under another name
    scans(tmp_path / "fetched2", 2)
    order = Order(model, tmp_path / "out")
    assert look(ledger, Pacs(), order, ReadLimits()) == 1
    assert ledger.cursor("pacs") == "2"
    with pytest.raises(ConfigError, match="fetched3: no such"):
        look(ledger, Pacs(), order, ReadLimits())
    assert ledger.cursor("pacs") == "3"  # what came before it is queued


@pytest.mark.parametrize(("every_s", "looks"), [(0.0, 5), (60.0, 1)])
def test_a_source_is_asked_as_often_as_it_says(
    every_s: float,
    looks: int,
    tmp_path: Path,
    ledger: Ledger,
    model: Model,
    settings: WorkSettings,
    monkeypatch: pytest.MonkeyPatch,
):
    class Source:
        name, asked = "source", 0

        def since(self, cursor: str | None) -> Iterator[Step]:
            self.asked += 1
            yield str(cursor), ()

    class Crew:
        rounds = 0

        def tend(self) -> bool:
            self.rounds += 1
            return self.rounds <= 5

        def end(self) -> None:
            pass

    source = Source()
    source.every_s = every_s
    monkeypatch.setattr(engines, "start", lambda *_: Crew())
    watch(ledger, source, Order(model, tmp_path / "out"), settings)
    assert source.asked == looks
