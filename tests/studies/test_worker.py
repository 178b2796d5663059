from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medunet.errors import ConfigError, DataError
from medunet.io.volume import Volume
from medunet.studies import stages
from medunet.studies import worker as module
from medunet.studies.held import Holding
from medunet.studies.ledger import Ledger
from medunet.studies.model import Model
from medunet.studies.reader import Reader, ReadLimits
from medunet.studies.settings import WorkSettings
from medunet.studies.task import Options
from medunet.studies.worker import Worker
from medunet.workflows.studies import Order, add
from tests.studies.conftest import make_run, request_of, scans
from tests.studies.stub_work import Threshold
from tests.studies.test_reader import POISONED
from tests.studies.test_scan import same_study

LIMITS = ReadLimits()
Make = Callable[..., Worker]


class Warm(Reader):
    """A reading process that serves several workers: starting one takes a second."""

    def kill(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def warm() -> Iterator[Reader]:
    found = Warm(LIMITS)
    found._start()  # by this thread: the child ends with the one that started it
    yield found
    Reader.close(found)


@pytest.fixture
def make(ledger: Ledger, settings: WorkSettings, warm: Reader) -> Iterator[Make]:
    """Return a function that makes a worker with a threshold for a network."""

    def worker(predict: Callable[[Volume], Any] | None = None, **changes: object) -> Worker:
        class Own(Threshold):
            def predict(self, volume: Volume) -> Any:
                return super().predict(volume) if predict is None else predict(volume)

        reader = changes.pop("reader", warm)
        writers = changes.pop("writers", None)
        how = {"load": lambda model, settings: Own(), "reader": reader} | (
            {"writers": writers} if writers else {}
        )
        return Worker(settings.model_copy(update=changes), ledger, "me", **how)

    return worker


@pytest.fixture
def queued(tmp_path: Path, ledger: Ledger, model: Model) -> Callable[[int], Path]:
    """Return a function that queues some small scans and returns the folder of results."""

    def queue(count: int) -> Path:
        add(ledger, [scans(tmp_path / "scans", count)], Order(model, tmp_path / "out"), LIMITS, quiet=True)
        return tmp_path / "out"

    return queue


def reasons(ledger: Ledger) -> dict[str, str]:
    return {row["state"]: row["reason"] for row in ledger.rows()}


def logs(settings: WorkSettings) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in Path(settings.logs).iterdir())


def test_studies_go_through_and_say_what_was_made(
    ledger: Ledger, settings: WorkSettings, queued: Callable[[int], Path], make: Make
):
    out = queued(2)
    make().run()
    assert ledger.counts() == {"done": 2}
    for row in ledger.rows():
        folder = out / row["name"]
        assert {path.name for path in folder.iterdir()} == {"mask.nii.gz", "result.json"}
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        assert result["voxels"]["bright"] > 50
        assert row["risk"] == result["risk"]
        assert set(row["result"]["seconds"]) >= {"read", "predict", "write"}
        text = json.dumps(result)
        assert "Smith" not in text
        assert str(out.parent) not in text
    assert "Smith" not in logs(settings)
    assert logs(settings).count(" done") == 2


def test_a_bad_study_costs_only_itself(
    tmp_path: Path, ledger: Ledger, queued: Callable[[int], Path], make: Make
):
    queued(4)
    (tmp_path / "scans/Smith_001.nii.gz").write_bytes(b"\x1f\x8b broken")
    calls: list[int] = []

    def predict(volume: Volume) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        if len(calls) == 3:
            raise KeyError("Smith^John")
        return Threshold().predict(volume)

    make(predict).run()
    rows = list(ledger.rows())
    assert Counter(row["state"] for row in rows) == {"refused": 1, "failed": 2, "done": 1}
    said = sorted(row["reason"] for row in rows if row["state"] == "failed")
    assert said[0] == "the memory is full"
    assert said[1].startswith("unexpected KeyError in test_worker.py")
    assert "Smith" not in str([row["reason"] for row in rows])


@pytest.mark.parametrize("name", ["exit", "bug"])
def test_a_study_that_kills_the_reading_process_costs_only_itself(
    tmp_path: Path, ledger: Ledger, queued: Callable[[int], Path], make: Make, name: str
):
    queued(2)
    ledger.add([bad_request(tmp_path, name)], priority=9)
    make(reader=Reader(LIMITS, POISONED)).run()
    assert ledger.counts() == {"done": 2, "failed": 1}
    assert {"exit": "reading process died (exit status 3)", "bug": "KeyError"}[name] in reasons(ledger)[
        "failed"
    ]


def test_a_series_that_kills_the_reading_process_costs_only_itself(
    tmp_path: Path, ledger: Ledger, make: Make
):
    model = Model.open(make_run(tmp_path / "ct", modality="CT").path)
    same_study(tmp_path / "scans")
    (tmp_path / "scans/b").rename(tmp_path / "scans/crash")
    add(ledger, [tmp_path / "scans"], Order(model, tmp_path / "out"), LIMITS, quiet=True)
    make(reader=Reader(LIMITS, POISONED)).run()
    (row,) = ledger.rows()
    assert (row["state"], row["reason"]) == ("done", "")
    (reason,) = row["result"]["series_not_taken"].values()
    assert "SIGSEGV" in reason


def bad_request(tmp_path: Path, name: str) -> Any:
    """Return a request like a queued one, for a file with a poisonous name."""
    ledger = Ledger(str(tmp_path / "studies/ledger.db"))
    like = next(ledger.rows())["request"]
    ledger.close()
    image = {"id": "bad", "folder": str(tmp_path), "files": [f"{name}.nii.gz"], "dicom": False}
    return request_of(**like | {"study": "bad", "content": "bad", "images": [image]})


def test_what_is_found_finished_is_not_done_again(ledger: Ledger, queued: Callable[[int], Path], make: Make):
    out = queued(1)
    make().run()
    ledger.retry(("done",))
    before = next(out.iterdir()).stat().st_ino

    def never(volume: Volume) -> Any:
        raise AssertionError("predicted again")

    make(never).run()
    assert ledger.counts() == {"done": 1}
    assert next(out.iterdir()).stat().st_ino == before


def test_a_worker_that_is_asked_to_end_gives_back_what_it_holds(
    ledger: Ledger, queued: Callable[[int], Path], make: Make
):
    queued(6)
    going, ended = threading.Event(), threading.Event()

    def predict(volume: Volume) -> Any:
        going.set()
        assert ended.wait(60)
        return Threshold().predict(volume)

    worker = make(predict)
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert going.wait(60)
    worker.halt()
    ended.set()
    thread.join(60)
    assert not thread.is_alive()
    assert ledger.counts() == {"done": 1, "queued": 5}  # what was predicted is written
    assert all(row["attempts"] == (row["state"] == "done") for row in ledger.rows())


def test_a_suspect_is_worked_on_alone(ledger: Ledger, queued: Callable[[int], Path], make: Make):
    queued(5)
    first = ledger.claim("dead", 100)
    assert first is not None
    ledger.abandon("dead")
    held: list[set[str]] = []

    def predict(volume: Volume) -> Any:
        time.sleep(0.2)  # others would be read meanwhile
        held.append({one.task.key for one in worker.holding.now()})
        return Threshold().predict(volume)

    worker = make(predict)
    worker.run()
    assert ledger.counts() == {"done": 5}
    assert [keys for keys in held if first.key in keys] == [{first.key}]
    assert max(map(len, held)) > 1  # the others overlap


def test_a_full_disk_ends_the_worker_and_costs_no_study(
    ledger: Ledger, queued: Callable[[int], Path], make: Make
):
    queued(3)

    def write(*_: object) -> Any:
        raise DataError("out: no room") from OSError(errno.ENOSPC, "No space left")

    with pytest.raises(ConfigError, match="no room"):
        make(writers={"nifti": write}).run()
    assert ledger.counts() == {"queued": 3}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.ESTALE])
def test_a_folder_that_cannot_be_written_ends_the_worker_too(
    ledger: Ledger,
    queued: Callable[[int], Path],
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
):
    queued(2)

    def publish(*_: object) -> Any:
        raise OSError(number, os.strerror(number), "out")

    monkeypatch.setattr(stages, "publish", publish)
    with pytest.raises(ConfigError, match="cannot be written"):
        make().run()
    assert ledger.counts() == {"queued": 2}


def test_a_network_that_fails_on_a_gpu_ends_the_process_so_that_a_new_one_starts(
    ledger: Ledger, queued: Callable[[int], Path], make: Make, monkeypatch: pytest.MonkeyPatch
):
    queued(3)
    monkeypatch.setattr(module, "uses_gpu", lambda: True)

    def fail(volume: Volume) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(SystemExit) as end:
        make(fail).run()
    assert end.value.code == module.WORN
    assert ledger.counts() == {"failed": 1, "queued": 2}


def test_studies_with_unlike_options_have_networks_of_their_own(
    tmp_path: Path, ledger: Ledger, settings: WorkSettings, model: Model, warm: Reader
):
    loaded: list[bool | None] = []

    def load(chosen: Model, _: WorkSettings) -> Threshold:
        loaded.append(chosen.options.mirror)
        return Threshold()

    paths = [scans(tmp_path / "scans", 1)]
    for mirror in (True, False):
        order = Order(Model.open(model.run.path, Options(mirror=mirror)), tmp_path / "out")
        add(ledger, paths, order, LIMITS, quiet=True)
    Worker(settings, ledger, "me", load=load, reader=warm).run()
    assert loaded == [True, False]
    results = [row["result"] for row in ledger.rows()]
    assert [result["options"]["mirror"] for result in results] == [True, False]
    assert all(result["how"] == {"backend": "threshold"} for result in results)


def test_a_run_that_changed_since_the_study_was_queued_is_refused(
    ledger: Ledger, queued: Callable[[int], Path], make: Make, model: Model
):
    queued(1)
    (model.run.fold(0) / "weights.safetensors").write_bytes(b"other")
    stages.model_of.cache_clear()
    make().run()
    assert "has changed since" in reasons(ledger)["refused"]


def test_a_network_that_hangs_ends_the_process_and_fails_the_study(
    ledger: Ledger, queued: Callable[[int], Path], make: Make, monkeypatch: pytest.MonkeyPatch
):
    queued(2)
    ended, let_go = threading.Event(), threading.Event()

    def end(status: int) -> None:
        ended.set()
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", end)

    def hang(volume: Volume) -> Any:
        assert let_go.wait(60)
        return Threshold().predict(volume)

    worker = make(hang, study_s=0.2, lease_s=1.0)

    def work() -> None:
        with pytest.raises(SystemExit):
            worker.run()

    thread = threading.Thread(target=work)
    thread.start()
    assert ended.wait(60)
    assert "took longer than 0 s to predict" in reasons(ledger)["failed"]
    worker.stop.set()
    let_go.set()
    thread.join(60)


def test_room_is_bounded_in_bytes_but_one_study_always_fits():
    holding, stop = Holding(100), threading.Event()
    tasks = [replace_key(n) for n in range(3)]
    big, small, late = (holding.add(task) for task in tasks)
    assert holding.wait_for_room(big, 1000, stop)
    waiting = threading.Thread(target=holding.wait_for_room, args=(small, 10, stop))
    waiting.start()
    time.sleep(0.05)
    assert waiting.is_alive()
    holding.remove(tasks[0].key)
    waiting.join(10)
    assert not waiting.is_alive()
    assert holding.wait_for_room(late, 90, stop)
    stop.set()
    assert not holding.wait_for_room(late, 95, stop)


def replace_key(number: int) -> Any:
    from medunet.studies.task import Task

    return replace(Task("", 1, request_of(number)), key=str(number))


def test_masks_are_written_on_the_grid_of_the_scan(tmp_path: Path, ledger: Ledger, model: Model, make: Make):
    import nibabel as nib

    from medunet.io.write import write_image
    from tests.phantoms import two_balls

    affine = np.diag([-2.0, 1.0, 1.5, 1.0])
    write_image(tmp_path / "in/a.nii.gz", two_balls(0)[0], affine)
    add(ledger, [tmp_path / "in"], Order(model, tmp_path / "out"), LIMITS, quiet=True)
    make().run()
    (mask,) = (tmp_path / "out").glob("*/mask.nii.gz")
    assert np.allclose(nib.load(mask).affine, affine)
