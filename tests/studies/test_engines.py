from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from medunet.config.run import RunFolder
from medunet.errors import ConfigError
from medunet.studies import engines
from medunet.studies.engines import Crew, local
from medunet.studies.ledger import Ledger
from medunet.studies.model import Model
from medunet.studies.owner import is_dead, owner_of
from medunet.studies.reader import ReadLimits
from medunet.studies.settings import WorkSettings
from medunet.studies.worker import WORN
from medunet.workflows.studies import Order, add, run
from tests.studies.conftest import request_of, scans
from tests.studies.stub_run import COMMAND
from tests.tasks.test_segment import run_folder

ROOT = Path(__file__).parents[2]
BUSY_S = 300.0


@pytest.fixture
def trained(tmp_path: Path) -> RunFolder:
    """A run with random weights, for workers that load torch."""
    (tmp_path / "trained").mkdir()
    return run_folder(tmp_path / "trained")


def queue(ledger: Ledger, folder: Path, run: RunFolder, count: int) -> None:
    order = Order(Model.open(run.path), folder / "out")
    add(ledger, [scans(folder / "scans", count, (22, 24, 20))], order, ReadLimits(), quiet=True)


def wait(crew: Crew, ledger: Ledger) -> None:
    end = time.monotonic() + BUSY_S
    while crew.tend():
        assert time.monotonic() < end, ledger.counts()
        time.sleep(0.1)


def done_once(ledger: Ledger) -> set[tuple[str, int]]:
    return {(row["state"], row["completions"]) for row in ledger.rows()}


def test_sigterm_ends_a_run_in_order_and_the_next_goes_on(
    tmp_path: Path, ledger: Ledger, settings: WorkSettings, model: Model
):
    queue(ledger, tmp_path, model.run, 12)
    command = [sys.executable, "-m", "tests.studies.stub_run", settings.ledger, settings.logs, "1"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + BUSY_S
    while not ledger.counts().get("done"):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert "stays queued" in process.communicate(timeout=BUSY_S)[1]
    counts = ledger.counts()
    assert set(counts) <= {"done", "queued"}
    assert all(row["attempts"] == 0 for row in ledger.rows(state="queued"))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=BUSY_S)
    assert done_once(ledger) == {("done", 1)}


def test_workers_that_cannot_start_end_the_run(ledger: Ledger, settings: WorkSettings):
    ledger.add([request_of()])
    crew = local.start(settings, 1, ledger, {}, [sys.executable, "-c", "raise SystemExit(9)"])
    with pytest.raises(ConfigError, match=r"died before they held a study \(status 9\)"):
        wait(crew, ledger)
    crew.end()


def test_workers_that_ended_themselves_are_replaced(ledger: Ledger, settings: WorkSettings):
    ledger.add([request_of()])
    crew = local.start(settings, 1, ledger, {}, [sys.executable, "-c", f"raise SystemExit({WORN})"])
    end = time.monotonic() + BUSY_S
    while crew.started < local.IDLE_DEATHS + 2:
        assert time.monotonic() < end
        assert crew.tend()
        time.sleep(0.02)
    crew.end()


def test_a_device_that_is_not_here_leaves_the_queue_as_it_is(ledger: Ledger, settings: WorkSettings):
    ledger.add([request_of()])
    absent = "mps" if sys.platform == "linux" else "cuda"
    with pytest.raises(ConfigError, match=f"--device {absent}: not on this machine"):
        local.start(settings.model_copy(update={"device": absent}), 1, ledger, {})
    assert ledger.counts() == {"queued": 1}


def test_a_worker_that_says_that_it_cannot_go_on_is_not_replaced(ledger: Ledger, settings: WorkSettings):
    ledger.add([request_of()])
    crew = local.start(settings, 1, ledger, {}, [sys.executable, "-c", "raise SystemExit(2)"])
    wait(crew, ledger)
    assert ledger.counts() == {"queued": 1}


def test_leases_of_dead_processes_of_this_machine_end_at_once(ledger: Ledger, settings: WorkSettings):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = owner_of(process.pid)
    assert not is_dead(owner)
    ledger.add([request_of()])
    ledger.claim(owner, 1000)
    process.communicate(b"\n")
    assert is_dead(owner)
    assert not is_dead(f"other-machine:{process.pid}:1.00")
    assert is_dead(owner_of(os.getpid()).replace(":", ":1", 2)) or psutil.pid_exists(int(f"1{os.getpid()}"))
    local.start(settings, 1, ledger, {}, COMMAND).end()
    assert ledger.counts() == {"queued": 1}


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [("kubernetes", {}, "expected one of local, ray, slurm"), ("local", {"x": 1}, "has no settings")],
)
def test_a_wrong_engine_is_refused(
    ledger: Ledger, settings: WorkSettings, name: str, options: dict[str, object], words: str
):
    with pytest.raises(ConfigError, match=words):
        engines.start(name, settings, 1, ledger, options)


@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_package_is_told(
    ledger: Ledger, settings: WorkSettings, monkeypatch: pytest.MonkeyPatch, name: str, package: str
):
    monkeypatch.delitem(sys.modules, f"medunet.studies.engines.{name}", raising=False)

    class Missing:
        def find_spec(self, wanted: str, *_: object) -> None:
            if wanted == package:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    with pytest.raises(ConfigError, match=rf"pip install 'medunet\[{name}\]'"):
        engines.start(name, settings, 1, ledger, {})


def test_slurm_wants_a_server(ledger: Ledger, settings: WorkSettings):
    pytest.importorskip("submitit", reason="pip install 'medunet[slurm]'")
    with pytest.raises(ConfigError, match="SQLite does not serve"):
        engines.start("slurm", settings, 1, ledger, {})


@pytest.mark.slow
def test_a_submitted_job_works_through_the_ledger(
    tmp_path: Path, ledger: Ledger, settings: WorkSettings, trained: RunFolder
):
    pytest.importorskip("submitit", reason="pip install 'medunet[slurm]'")
    queue(ledger, tmp_path, trained, 3)
    options = {"cluster": "local", "timeout_min": 5}
    result = run(ledger, settings, "slurm", 1, options)
    assert result["done"] == 3, result
    assert done_once(ledger) == {("done", 1)}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A small Ray on this machine, on loopback."""
    ray = pytest.importorskip("ray", reason="pip install 'medunet[ray]'")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        object_store_memory=100_000_000,
    )
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_two_workers_of_ray_and_one_is_killed(
    tmp_path: Path, ledger: Ledger, settings: WorkSettings, trained: RunFolder, cluster: None
):
    import ray

    queue(ledger, tmp_path, trained, 12)
    quick = settings.model_copy(update={"lease_s": 3.0})
    crew = engines.start("ray", quick, 2, ledger, {})
    end = time.monotonic() + BUSY_S
    while len(ledger.owners()) < 2 and ledger.unfinished() > 6:
        assert crew.tend()
        assert time.monotonic() < end
        time.sleep(0.02)
    victim = next(iter(ledger.owners()))
    os.kill(int(victim.split(":")[1]), signal.SIGKILL)
    wait(crew, ledger)
    crew.end()
    assert done_once(ledger) == {("done", 1)}
    assert sum(row["attempts"] for row in ledger.rows()) > 12  # it held something
    assert len(ray.nodes()) == 1
