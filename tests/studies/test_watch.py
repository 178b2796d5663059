from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from medunet.errors import ConfigError
from medunet.studies import engines
from medunet.studies.ledger import Ledger
from medunet.studies.model import Model
from medunet.studies.reader import ReadLimits
from medunet.studies.settings import WorkSettings
from medunet.studies.watch import FolderChanges
from medunet.workflows.studies import Order, look, watch
from tests.studies.conftest import scans


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_stable_is_told_once(tmp_path: Path):
    clock = Clock()
    changes = FolderChanges(tmp_path, 10, [tmp_path / "out"], clock)
    scans(tmp_path / "a", 2)
    scans(tmp_path / "out", 1)
    cursor, ready = changes.since(None)
    assert ready == []
    clock.now = 6
    scans(tmp_path / "a", 3)  # one more arrives
    scans(tmp_path, 1)
    cursor, ready = changes.since(cursor)
    clock.now = 12
    assert changes.since(cursor)[1] == []
    clock.now = 16
    cursor, ready = changes.since(cursor)
    assert ready == [[tmp_path / "a"], [tmp_path / "Smith_000.nii.gz"]]
    clock.now = 30
    assert changes.since(cursor)[1] == []
    again = FolderChanges(tmp_path, 0, [tmp_path / "out"], clock)  # after a restart
    assert again.since(cursor)[1] == []
    assert "Smith" not in cursor
    (tmp_path / "a/Smith_000.nii.gz").unlink()
    assert again.since(cursor)[1] == [[tmp_path / "a"]]
    assert len(json.loads(again.since(None)[0])) == 2


def test_a_watched_folder_is_queued_once_and_never_its_own_results(
    tmp_path: Path, ledger: Ledger, model: Model
):
    folder = tmp_path / "in"
    scans(folder / "one", 2)
    scans(folder / "results/x", 1)
    (folder / "results/x/result.json").write_text("{}")
    order = Order(model, folder / "results")
    for expected in (2, 0):
        assert look(ledger, FolderChanges(folder, 0, [folder / "results"]), order, ReadLimits()) == expected
    assert look(ledger, FolderChanges(folder, 0), order, ReadLimits()) == 0  # the marker alone tells
    assert ledger.cursor(FolderChanges(folder, 0).name) is not None


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
        name = "pacs"

        def since(self, cursor: str | None) -> tuple[str, list[list[Path]]]:
            return str(int(cursor or 0) + 1), [[tmp_path / f"fetched{cursor}"]]

    scans(tmp_path / "fetchedNone", 1)
    scans(tmp_path / "fetched1", 1)
    order = Order(model, tmp_path / "out")
    assert look(ledger, Pacs(), order, ReadLimits()) == 1
    assert ledger.cursor("pacs") == "1"
    assert look(ledger, Pacs(), order, ReadLimits()) == 0  # the same scans under another name
    with pytest.raises(ConfigError, match="fetched2: no such"):
        look(ledger, Pacs(), order, ReadLimits())
    assert ledger.cursor("pacs") == "2"
