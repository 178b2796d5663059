"""kill -9 of any process at any moment: nothing is lost, nothing done twice, the same bytes come out."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from medunet.studies.ledger import Ledger
from medunet.studies.model import Model
from medunet.studies.reader import ReadLimits
from medunet.workflows.studies import Order, add
from tests.studies.conftest import scans

ROOT = Path(__file__).parents[2]
PATIENCE_S = 900.0  # much more than it takes, for a machine that is busy


def start(place: str, logs: Path) -> psutil.Popen:
    command = [sys.executable, "-m", "tests.studies.stub_run", place, str(logs), "2"]
    return psutil.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def queue(folder: Path, model: Model, images: Path) -> Ledger:
    ledger = Ledger(str(folder / "ledger.db"), max_attempts=100)
    told = add(ledger, [images], Order(model, folder / "out"), ReadLimits(), quiet=True)
    assert told["added"] == len(list(images.iterdir()))
    return ledger


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def kill_something(parent: psutil.Popen, chance: random.Random, *, readers: bool) -> None:
    """Kill the command, a worker, or a reading process."""
    try:
        family = [parent, *parent.children(recursive=True)]
        if not readers:
            family = [p for p in family if "medunet.studies.child" not in " ".join(p.cmdline())]
        chance.choice(family).kill()
    except psutil.NoSuchProcess:
        pass


@pytest.mark.slow
@pytest.mark.parametrize(("studies", "kills"), [(200, 16)])
def test_killed_at_random_moments(tmp_path: Path, model: Model, studies: int, kills: int):
    images = scans(tmp_path / "scans", studies)
    calm, wild = (queue(tmp_path / name, model, images) for name in ("calm", "wild"))
    assert start(calm.place, tmp_path / "calm/logs").wait(PATIENCE_S) == 0

    chance, killed, end = random.Random(3), 0, time.monotonic() + PATIENCE_S
    before = -1
    parent = start(wild.place, tmp_path / "wild/logs")
    while wild.unfinished() or (parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE):
        assert time.monotonic() < end, wild.counts()
        time.sleep(chance.uniform(0.02, 0.5))
        counts = wild.counts()
        done, working = counts.get("done", 0), counts.get("running", 0)
        if killed < kills and working and done > killed * studies // (2 * kills):  # not while all still start
            # a file whose readers die three times in a row is told as bad, as it should be
            kill_something(parent, chance, readers=done > before)
            killed, before = killed + 1, done
        if parent.poll() is not None and wild.unfinished():
            parent = start(wild.place, tmp_path / "wild/logs")
    assert killed == kills
    rows = list(wild.rows())
    assert [row["reason"] for row in rows if row["reason"]] == []
    assert Counter((row["state"], row["completions"]) for row in rows) == {("done", 1): studies}
    assert sum(row["attempts"] for row in rows) > studies  # the kills did hit work
    outputs = files_of(tmp_path / "wild/out")
    assert len(outputs) == 2 * studies
    assert outputs == files_of(tmp_path / "calm/out")
