"""MLflow in the background: what arrives in a real store, resume, outages, the model as code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medunet.engine import outbox
from medunet.engine.place import Place, public
from medunet.engine.tracking import Tracker, fetch_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One workspace: creating an SQLite store takes seconds."""
    return tmp_path_factory.mktemp("workspace")


def client(workspace: Path) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{workspace}/mlflow/mlflow.db")


def tracker(workspace: Path, fold: Path, said: list[str], **other: Any) -> Tracker:
    names = {"experiment": "phantom", "run_name": "fold 0", "run_key": "abc-0", **other}
    uri = names.pop("uri", None)
    return Tracker(uri, workspace=workspace, state_file=fold / "mlflow.json", say=said.append, **names)


def test_everything_that_is_logged_can_be_read_back(workspace: Path, tmp_path: Path) -> None:
    said: list[str] = []
    (tmp_path / "report.html").write_text("<p>good</p>", encoding="utf-8")
    run = tracker(workspace, tmp_path, said)
    run.params({"training.budget": "10m", "labels, left (x)": [1, 2]})
    run.tags({"commit": "abcdef"})
    for step in range(3):
        run.metrics(step, {"loss": 1.0 / (step + 1), "dice/liver (left)": 0.5, "bad": float("nan")})
    (tmp_path / "card.yaml").write_text("name: phantom_ct\n", encoding="utf-8")
    run.file(tmp_path / "card.yaml")
    run.file(tmp_path / "report.html", "evaluation")
    picture = np.zeros((6, 4, 3), np.uint8)
    picture[..., 0] = 255
    run.picture("pictures/best.png", picture)
    run.close("FINISHED", timeout_s=60)
    assert said == []

    store = client(workspace)
    logged = store.get_run(run.run_id)
    assert logged.info.status == "FINISHED"
    assert logged.info.run_name == "fold 0"
    assert logged.data.params == {"training.budget": "10m", "labels_ left _x_": "[1, 2]"}
    assert logged.data.tags["commit"] == "abcdef"
    assert [(m.step, m.value) for m in store.get_metric_history(run.run_id, "loss")] == [
        (0, 1.0),
        (1, 0.5),
        (2, pytest.approx(1 / 3)),
    ]
    assert logged.data.metrics["dice/liver _left_"] == 0.5
    files = workspace / "mlflow" / "artifacts" / run.run_id / "artifacts"
    assert (files / "card.yaml").read_text() == "name: phantom_ct\n"
    assert (files / "evaluation" / "report.html").read_text() == "<p>good</p>"
    assert (files / "pictures" / "best.png").read_bytes()[:4] == b"\x89PNG"


def test_the_same_key_continues_the_run_and_another_key_does_not(workspace: Path, tmp_path: Path) -> None:
    said: list[str] = []
    first = tracker(workspace, tmp_path, said)
    first.params({"budget": "10m"})
    first.metrics(1, {"loss": 2.0})
    first.close("KILLED")
    again = tracker(workspace, tmp_path, said)
    again.params({"budget": "20m", "seed": 1})
    again.metrics(2, {"loss": 1.0})
    again.close()
    other = tracker(workspace, tmp_path, said, run_key="abc-1")
    other.close()

    assert said == []
    assert again.run_id == first.run_id
    assert other.run_id not in (None, first.run_id)
    logged = client(workspace).get_run(first.run_id)
    assert logged.info.status == "FINISHED"
    assert logged.data.params == {"budget": "10m", "seed": "1"}
    assert logged.data.tags["resumed.budget"] == "20m"
    assert [m.step for m in client(workspace).get_metric_history(first.run_id, "loss")] == [1, 2]


def test_a_refused_entry_is_left_out_and_the_others_arrive(workspace: Path, tmp_path: Path) -> None:
    said: list[str] = []
    run = tracker(workspace, tmp_path, said)
    run.file(tmp_path / "not_there.csv")
    run.metrics(1, {"loss": 2.0})
    run.close()
    assert len(said) == 1
    assert "refused" in said[0]
    assert "not_there.csv" in said[0]
    assert client(workspace).get_run(run.run_id).data.metrics["loss"] == 2.0


def test_a_server_that_is_away_is_told_once_and_costs_no_time(tmp_path: Path) -> None:
    said: list[str] = []
    start = time.monotonic()
    run = tracker(tmp_path, tmp_path / "fold_0", said, uri="http://anna:secret@127.0.0.1:9")
    for step in range(1000):
        run.metrics(step, {"loss": 1.0})
    assert time.monotonic() - start < 0.5
    run.close("FAILED", timeout_s=20)
    assert len(said) == 2, said
    assert "is away" in said[0]
    assert str(tmp_path / "fold_0") in said[0]
    assert "1002 entries did not reach" in said[1]
    assert not any("secret" in line for line in said)


def test_entries_wait_for_a_store_that_comes_back(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "FIRST_RETRY_S", 0.05)
    said: list[str] = []
    blocked = tmp_path / "mlflow"
    blocked.write_text("a file where the folder should be", encoding="utf-8")
    run = tracker(workspace, tmp_path, said, uri=f"sqlite:///{blocked}/mlflow.db")
    run.metrics(1, {"loss": 2.0})
    deadline = time.monotonic() + 30
    while not said and time.monotonic() < deadline:
        time.sleep(0.02)
    blocked.unlink()
    run_deadline = time.monotonic() + 30
    while run.run_id is None and time.monotonic() < run_deadline:
        time.sleep(0.02)
    run.close()
    assert len(said) == 2
    assert "is away" in said[0]
    assert "is back" in said[1]
    from mlflow.tracking import MlflowClient

    assert MlflowClient(f"sqlite:///{blocked}/mlflow.db").get_run(run.run_id).data.metrics["loss"] == 2.0


def test_the_machine_is_watched(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    run = tracker(workspace, tmp_path, [])
    deadline = time.monotonic() + 30
    seen: dict[str, float] = {}
    while "system/cpu_utilization_percentage" not in seen and time.monotonic() < deadline:
        time.sleep(0.2)
        seen = client(workspace).get_run(run.run_id).data.metrics if run.run_id else {}
    run.close()
    assert "system/cpu_utilization_percentage" in seen
    assert "system/system_memory_usage_megabytes" in seen


def test_the_model_is_code_and_files_and_answers_when_loaded(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import pandas as pd

    run_folder, said = tmp_path / "run", list[str]()
    (run_folder / "fold_0" / "checkpoint").mkdir(parents=True)
    (run_folder / "config.yaml").write_text("name: x\n", encoding="utf-8")
    (run_folder / "folds.json").write_text('{"patients": {}}', encoding="utf-8")
    (run_folder / "fold_1").mkdir()
    (run_folder / "fold_1" / "weights.safetensors").write_bytes(b"of another fold")
    (run_folder / "fold_0" / "weights.safetensors").write_bytes(b"weights")
    (run_folder / "fold_0" / "checkpoint" / "state.pt").write_bytes(b"large")
    (tmp_path / "stand_in.py").write_text(
        "def load(folder):\n"
        "    weights = (folder / 'fold_0' / 'weights.safetensors').read_text()\n"
        "    return lambda table, params: [p + params['out'] + weights for p in table['path']]\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = tracker(workspace, tmp_path, said)
    run.model(run_folder / "fold_0", "stand_in:load")
    run.close()
    assert said == []

    mlflow.set_tracking_uri(f"sqlite:///{workspace}/mlflow/mlflow.db")
    (output,) = client(workspace).get_run(run.run_id).outputs.model_outputs
    model = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    assert model.predict(pd.DataFrame({"path": ["a", "b"]}), params={"out": "!"}) == [
        "a!weights",
        "b!weights",
    ]
    assert model.metadata.signature.inputs.input_names() == ["path"]
    with pytest.raises(mlflow.MlflowException, match="path"):
        model.predict(pd.DataFrame({"image": ["a"]}))
    store = client(workspace)
    store.create_registered_model("brain")
    version = store.create_model_version(
        "brain", f"models:/{output.model_id}", model_id=output.model_id
    ).version
    store.set_registered_model_alias("brain", "best", version)
    mlflow.set_tracking_uri(None)  # also what child processes would inherit
    is_fetched_by_its_name(workspace, version, tmp_path / "models")
    kept = {p.name for p in (workspace / "mlflow" / "artifacts").rglob("*") if output.model_id in str(p)}
    assert {"config.yaml", "weights.safetensors", "MLmodel", "model.py"} <= kept
    assert not {name for name in kept if name.endswith((".pkl", ".pt"))}
    assert not kept & {"folds.json", "fold_1"}


def is_fetched_by_its_name(workspace: Path, version: str, into: Path) -> None:
    """Fetch the run folder of a registered model by alias and by version."""
    for name in ("models:/brain@best", f"models:/brain/{version}"):
        found = fetch_model(name, None, workspace=workspace, into=into)
        assert found == into / f"brain-{version}"
        assert sorted(p.name for p in found.iterdir()) == ["config.yaml", "fold_0"]
    assert [path.name for path in into.iterdir()] == [found.name]
    for wrong in ("models:/brain@nobody", "models:/nothing/1", "models:/odd"):
        with pytest.raises(OSError, match=r"\w"):
            fetch_model(wrong, None, workspace=workspace, into=into)


def test_nothing_is_written_outside_the_workspace_and_mlflow_is_imported_in_the_thread(
    tmp_path: Path,
) -> None:
    code = (
        "import sys, time; from pathlib import Path; from medunet.engine.tracking import Tracker\n"
        "assert 'mlflow' not in sys.modules\n"
        "start = time.monotonic()\n"
        "run = Tracker(None, workspace=Path(sys.argv[1]), experiment='e', run_name='r', run_key='k',\n"
        "              state_file=Path(sys.argv[1], 'fold_0', 'mlflow.json'), say=print)\n"
        "run.metrics(0, {'loss': 1.0})\n"
        "assert time.monotonic() - start < 0.3\n"
        "run.close(timeout_s=60)\n"
    )
    here = tmp_path / "here"
    here.mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "ws")], cwd=here, env=env, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(here.iterdir()) == []
    assert {p.name for p in (tmp_path / "ws").iterdir()} == {"mlflow", "fold_0"}
    assert json.loads((tmp_path / "ws" / "fold_0" / "mlflow.json").read_text())["run_key"] == "k"


def test_places(tmp_path: Path) -> None:
    names = {"experiment": "e", "run_name": "r", "run_key": "k", "state_file": tmp_path / "s.json"}
    own = Place.of(None, tmp_path, **names)
    assert own.uri == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert own.artifacts == (tmp_path / "mlflow" / "artifacts").as_uri()
    assert Place.of("https://mlflow.example.org", tmp_path, **names).artifacts is None
    own.remember("run1")
    assert own.recall() == "run1"
    assert Place.of("https://mlflow.example.org", tmp_path, **names).recall() is None
    (tmp_path / "s.json").write_text("{broken", encoding="utf-8")
    assert own.recall() is None
    assert public("https://anna:secret@host/x") == "https://host/x"


def test_a_run_can_be_told_who_follows_from_it_and_one_that_is_not_there_stops_nothing(
    workspace: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    generator = tracker(workspace, tmp_path / "generator", said, run_key="generator")
    generator.close()
    trained = tracker(workspace, tmp_path / "trained", said, run_key="trained", run_name="trained/fold_0")
    trained.tag_other(str(generator.run_id), "used_by")
    assert said == []
    trained.tag_other("0" * 32, "used_by")
    trained.tags({"synthetic.generator_run": generator.run_id})
    trained.close()
    store = client(workspace)
    assert store.get_run(generator.run_id).data.tags[f"used_by.{trained.run_id}"] == "trained/fold_0"
    assert store.get_run(trained.run_id).data.tags["synthetic.generator_run"] == generator.run_id
    assert len(said) == 1
