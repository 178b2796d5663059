from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter, namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from medunet.errors import ConfigError
from medunet.studies import database
from medunet.studies import ledger as module
from medunet.studies.database import TABLES, file_system_of
from medunet.studies.ledger import Ledger
from medunet.studies.task import Options
from tests.studies.conftest import request_of

ROOT = Path(__file__).parents[2]
LONG = 1000.0


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    place = str(tmp_path / "l.db") if request.param == "sqlite" else request.getfixturevalue("postgres")
    found = Ledger(place)
    yield found
    TABLES.drop_all(found._engine)
    found.close()


def test_the_same_study_model_and_options_are_one_task(ledger: Ledger):
    first = [request_of(0), request_of(1)]
    assert len(ledger.add(first)) == 2
    elsewhere = request_of(0, images=[request_of(7).images[0]])  # the same content in another folder
    assert ledger.add([*first, elsewhere]) == []
    others = [
        request_of(0, model_sha256="other"),
        request_of(0, out="/b"),
        request_of(0, options=Options(mirror=True)),
    ]
    assert len(ledger.add(others)) == 3
    assert len({request.name for request in (request_of(0), others[1])}) == 1  # the folder of results


def test_a_study_is_claimed_once_by_priority_then_age(ledger: Ledger):
    ledger.add([request_of(0), request_of(1)])
    ledger.add([request_of(2)], priority=5)
    claimed = [ledger.claim("a", LONG) for _ in range(4)]
    assert [task and task.request.study for task in claimed] == ["study2", "study0", "study1", None]
    assert ledger.counts() == {"running": 3}


def test_what_is_finished_stays_finished(ledger: Ledger):
    ledger.add([request_of()])
    task = ledger.claim("a", LONG)
    assert task is not None
    assert not ledger.finish(task.key, "b", "done")  # not the one who holds it
    assert ledger.finish(task.key, "a", "done", risk=0.25, result={"x": 1})
    assert not ledger.finish(task.key, "a", "failed")
    (row,) = ledger.rows()
    assert (row["state"], row["completions"], row["risk"], row["result"]) == ("done", 1, 0.25, {"x": 1})
    assert ledger.claim("b", LONG) is None


def test_a_lease_that_ends_is_taken_over_and_its_owner_can_close_nothing(ledger: Ledger):
    ledger.add([request_of()])
    task = ledger.claim("a", 0.1)
    assert task is not None
    assert ledger.expire() == 0
    time.sleep(0.15)
    assert ledger.renew("a", LONG, [task.key]) == 0
    assert not ledger.finish(task.key, "a", "done")
    assert ledger.expire() == 1
    again = ledger.claim("b", LONG)
    assert again is not None
    assert (again.key, again.attempts) == (task.key, 2)
    assert not ledger.finish(task.key, "a", "done")


def test_renewing_prolongs_a_lease(ledger: Ledger):
    ledger.add([request_of()])
    task = ledger.claim("a", 0.3)
    assert task is not None
    assert ledger.renew("a", LONG, [task.key]) == 1
    time.sleep(0.35)
    assert ledger.expire() == 0


def test_a_lease_whose_claim_was_never_answered_ends(ledger: Ledger):
    ledger.add([request_of(0), request_of(1)])
    lost, known = ledger.claim("a", 0.2), ledger.claim("a", 0.2)
    assert lost is not None
    assert known is not None
    assert ledger.renew("a", LONG, [known.key]) == 1
    time.sleep(0.25)
    assert ledger.expire() == 1
    assert ledger.counts() == {"queued": 1, "running": 1}


def folder_of(row: dict[str, Any]) -> str:
    return str(row["request"]["images"][0]["folder"])


def test_a_study_that_failed_is_queued_again_when_its_files_have_moved(ledger: Ledger):
    ledger.add([request_of(n) for n in range(3)])
    for state in ("failed", "done"):
        task = ledger.claim("a", LONG)
        assert task is not None
        ledger.finish(task.key, "a", state, reason="gone", result={"x": 1})
    assert ledger.add([request_of(n) for n in range(3)]) == []  # nothing is new
    moved = [
        request_of(n, images=[request_of(n).images[0].model_copy(update={"folder": "/b"})]) for n in range(3)
    ]
    assert ledger.add(moved, priority=7) == [moved[0].key]
    failed, done, waiting = ledger.rows()
    assert (failed["state"], failed["reason"], folder_of(failed)) == ("queued", "", "/b")
    assert (done["state"], done["priority"], folder_of(done)) == ("done", 0, "/nowhere")
    assert (waiting["state"], waiting["priority"], folder_of(waiting)) == ("queued", 7, "/b")


def test_a_study_that_kills_its_workers_fails_after_three(ledger: Ledger):
    ledger.add([request_of()])
    for number in range(3):
        assert ledger.claim(f"w{number}", LONG) is not None
        assert ledger.owners() == {f"w{number}"}
        assert ledger.abandon(f"w{number}") == 1
    (row,) = ledger.rows()
    assert (row["state"], row["reason"]) == ("failed", "the worker died 3 times")
    assert ledger.unfinished() == 0
    assert ledger.retry() == 1
    task = ledger.claim("a", LONG)
    assert task is not None
    assert task.attempts == 1


def test_what_is_given_back_was_no_attempt(ledger: Ledger):
    ledger.add([request_of(0), request_of(1)])
    ledger.claim("a", LONG), ledger.claim("a", LONG)
    assert ledger.give_back("b") == 0
    assert ledger.give_back("a") == 2
    assert [row["attempts"] for row in ledger.rows()] == [0, 0]


def test_refused_studies_are_told_and_come_back_only_when_asked_for(ledger: Ledger):
    ledger.add([request_of(refused="no image")])
    assert ledger.claim("a", LONG) is None
    assert ledger.retry() == 0
    assert ledger.retry(("failed", "refused"), ["other"]) == 0
    assert ledger.retry(("failed", "refused"), [request_of().name]) == 1


def test_rows_by_risk(ledger: Ledger):
    ledger.add([request_of(n) for n in range(3)])
    for risk in (0.1, None, 0.9):
        task = ledger.claim("a", LONG)
        assert task is not None
        ledger.finish(task.key, "a", "done", risk=risk)
    assert [row["risk"] for row in ledger.rows(by="risk")] == [0.9, 0.1, None]


def test_cursors_are_kept(ledger: Ledger):
    assert ledger.cursor("pacs") is None
    for value in ("1", "2"):
        ledger.set_cursor("pacs", value)
    assert ledger.cursor("pacs") == "2"


DRAIN = """
import sys, os, time
from medunet.studies.ledger import Ledger
ledger = Ledger(sys.argv[1]); done = 0
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline(); begun = time.process_time()
while task := ledger.claim(sys.argv[2], 60):
    done += ledger.finish(task.key, sys.argv[2], "done")
    if sys.argv[2] == "w0" and done == 50: os.kill(os.getpid(), 9)
print(done, time.process_time() - begun)
"""


def test_three_processes_share_the_work_and_one_is_killed(ledger: Ledger):
    """500 tasks/s are asked for; on a machine that others use, processor seconds tell it."""
    total = 1200
    ledger.add([request_of(n) for n in range(total)])
    command = [sys.executable, "-c", DRAIN, ledger.place]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    workers = [subprocess.Popen([*command, f"w{n}"], **pipes) for n in range(3)]
    assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 3
    begun = time.perf_counter()
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    said = [worker.communicate()[0].split() for worker in workers]
    wall = time.perf_counter() - begun
    assert said[0] == []  # killed
    done = [int(words[0]) for words in said[1:]]
    per_cpu_s = sum(done) / sum(float(words[1]) for words in said[1:])
    sys.stderr.write(f"{total / wall:.0f} tasks/s; {per_cpu_s:.0f} per second of one processor\n")
    rows = Counter((row["state"], row["completions"]) for row in ledger.rows())
    assert rows[("done", 1)] == 50 + sum(done) == total
    assert per_cpu_s > 250  # two processors: 500 tasks/s


def test_a_network_drive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mount = namedtuple("mount", ("mountpoint", "fstype"))
    mounts = [mount("/", "ext4"), mount(str(tmp_path), "nfs4")]
    monkeypatch.setattr(database.psutil, "disk_partitions", lambda all: mounts)
    assert file_system_of(tmp_path / "x") == "nfs4"
    with pytest.raises(ConfigError, match=r"network drive \(nfs4\).*postgresql"):
        Ledger(str(tmp_path / "l.db"))


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("mysql://anna:secret@db/x", r"--ledger mysql://db/x: expected a file, or postgresql"),
        ("postgresql://anna:secret@127.0.0.1:9/x", r"--ledger postgresql://127.0.0.1:9/x: cannot be opened"),
    ],
)
def test_a_ledger_that_cannot_be_opened_is_told_without_the_password(place: str, words: str):
    if place.startswith("postgresql"):
        pytest.importorskip("pg8000")
    with pytest.raises(ConfigError, match=words) as told:
        Ledger(place)
    assert "secret" not in str(told.value)


def test_a_file_that_is_no_ledger_is_told(tmp_path: Path):
    (tmp_path / "l.db").write_text("hello " * 1000)
    with pytest.raises(ConfigError, match=r"l\.db: cannot be opened"):
        Ledger(str(tmp_path / "l.db"))


def test_a_ledger_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    Ledger(str(tmp_path / "l.db")).close()
    monkeypatch.setattr(module, "VERSION", "2")
    with pytest.raises(ConfigError, match="has version 1; expected 2"):
        Ledger(str(tmp_path / "l.db"))


def test_a_database_that_is_away_for_a_moment_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ledger = Ledger(str(tmp_path / "l.db"))
    monkeypatch.setattr(module, "PAUSES_S", (0.0, 0.0))
    plain, fails = ledger._engine.connect, [1, 1]

    def connect() -> sql.Connection:
        if fails:
            fails.pop()
            raise module.OperationalError("", {}, Exception("away"))
        return plain()

    monkeypatch.setattr(ledger._engine, "connect", connect)
    assert ledger.counts() == {}
    fails += [1] * 3
    with pytest.raises(ConfigError, match="is away: away"):
        ledger.counts()
