from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from medunet.config.load import write_yaml
from medunet.config.run import RunFolder
from medunet.errors import ConfigError
from medunet.workflows.train import train
from tests.phantoms import card, msd_folder, recipe

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medunet.workflows.train.Tracker", lambda *a, **k: Deaf())


class Deaf:
    """A tracker that hears nothing; tracking has its own tests."""

    def __getattr__(self, _: str) -> object:
        return lambda *a, **k: None


def run_of(result: dict[str, object]) -> RunFolder:
    return RunFolder.open(Path(str(result["run"])))


def test_a_training_leaves_a_complete_run(tmp_path: Path):
    data = msd_folder(tmp_path / "data", 6)
    result = train(recipe(), card=card(), data=data, fold=1, workspace=tmp_path)
    run = run_of(result)
    assert {"run", "fold", "best"} <= set(result)
    assert result["fold"] == 1
    assert run.recipe == recipe()
    assert run.card == card()
    assert run.trained == (1,)
    held_out = set(run.folds.validation[1])
    assert len(held_out) == 3
    assert torch.__version__.startswith(run.origin["versions"]["torch"])
    lines = (run.fold(1) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert "loss" in json.loads(lines[0])
    assert not list((run.fold(1) / "checkpoint").glob("*"))


def test_the_same_command_on_a_finished_run_trains_nothing(tmp_path: Path):
    data = msd_folder(tmp_path / "data", 4)
    first = train(recipe(), card=card(), data=data, fold=0, workspace=tmp_path)
    weights = run_of(first).fold(0) / "weights.safetensors"
    changed = weights.stat().st_mtime_ns
    again = train(recipe(), card=card(), data=data, fold=0, workspace=tmp_path)
    assert again == first
    assert weights.stat().st_mtime_ns == changed


def test_other_data_under_the_same_name_is_refused(tmp_path: Path):
    for name, cases in (("one", 4), ("two", 5)):
        msd_folder(tmp_path / name, cases)
    train(recipe(), card=card(), data=tmp_path / "one", fold=0, workspace=tmp_path, name="mine")
    with pytest.raises(ConfigError, match="another recipe, card or data"):
        train(recipe(), card=card(), data=tmp_path / "two", fold=0, workspace=tmp_path, name="mine")


def test_a_fold_that_is_not_there_is_refused(tmp_path: Path):
    data = msd_folder(tmp_path / "data", 4)
    with pytest.raises(ConfigError, match="--fold 7: expected 0 to 1"):
        train(recipe(), card=card(), data=data, fold=7, workspace=tmp_path)


def test_a_2d_unpadded_network_trains_too(tmp_path: Path):
    data = msd_folder(tmp_path / "data", 4, dims=2)
    small = recipe(
        network={"name": "unet2015", "options": {"width": 4, "depth": 2}},
        planning={"batch_size": 2, "patch_voxels": (16, 16)},
        training={"deep_supervision": False},
    )
    result = train(small, card=card(2), data=data, fold=0, workspace=tmp_path)
    assert result["steps"] == 4


def test_unusable_cases_are_named_and_the_others_train(tmp_path: Path):
    data = msd_folder(tmp_path / "data", 5)
    (data / "imagesTr/case_02.nii.gz").write_bytes(b"not an image")
    result = train(recipe(), card=card(), data=data, fold=0, workspace=tmp_path)
    assert "case_02" in result["failed"]
    assert "case_02" not in run_of(result).folds.patients


def command(tmp_path: Path, workspace: str) -> list[str]:
    write_yaml(tmp_path / "balls.yaml", card().model_dump(mode="json"))
    slow = recipe(training={"budget": "30 steps", "checkpoint_seconds": 0.01, "validate_cases": 0})
    write_yaml(tmp_path / "quick.yaml", slow.model_dump(mode="json"))
    words = ["train", str(tmp_path / "quick.yaml"), "--data", str(tmp_path / "data"), "--name", "run"]
    return [sys.executable, "-m", "medunet", *words, "--workspace", str(tmp_path / workspace)]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}


def wait_for_step(folder: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a checkpoint of at least `step` is there."""
    for _ in range(3000):
        found = [int(p.stem[5:]) for p in folder.glob("checkpoint/step_*.safetensors")]
        if found and max(found) >= step:
            return
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.005)
    pytest.fail("no checkpoint came")


def test_a_killed_training_goes_on_bit_for_bit(tmp_path: Path):
    msd_folder(tmp_path / "data", 4)
    weights = {}
    for workspace in ("whole", "killed"):
        words = command(tmp_path, workspace)
        fold = tmp_path / workspace / "runs/run/fold_0"
        if workspace == "killed":
            for number, step in ((signal.SIGKILL, 5), (signal.SIGTERM, 15)):
                with subprocess.Popen(words, env=environment(), stderr=subprocess.DEVNULL) as process:
                    wait_for_step(fold, step, process)
                    process.send_signal(number)
                    process.wait(60)
        done = subprocess.run(
            words, env=environment(), capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        weights[workspace] = load_file(fold / "weights.safetensors")
    assert json.loads((fold / "fold.json").read_text(encoding="utf-8"))["steps"] == 30
    for name, value in weights["whole"].items():
        assert torch.equal(value, weights["killed"][name]), name


def test_the_first_progress_line_comes_within_seconds_and_a_lost_server_stops_nothing(tmp_path: Path):
    msd_folder(tmp_path / "data", 4)
    start = time.monotonic()
    with subprocess.Popen(
        command(tmp_path, "timed"), env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        seconds = time.monotonic() - start
        rest = process.stderr.read()
    assert line.strip()
    assert seconds < 20  # 5 on a quiet machine; tests share theirs
    assert process.returncode == 0, rest
    assert "away" in rest
