"""The MLflow runs of a set lead to its generator by tags, and the generator's run leads back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medunet.workflows import set_tracking
from medunet.workflows.set_tracking import track_set
from medunet.workflows.synthetic_set import SyntheticSet
from tests.gate.sets import synthetic_set


class Notes:
    """A tracker that keeps what it is told."""

    def __init__(self, uri: str | None, **names: Any) -> None:
        self.uri, self.names, self.told, self.others = uri, names, {}, []
        NOTES.append(self)

    def tags(self, values: dict[str, Any]) -> None:
        self.told |= values

    def metrics(self, step: int, values: dict[str, float]) -> None:
        self.told |= {"step": step, **values}

    def tag_other(self, run_id: str, name: str) -> None:
        self.others.append((run_id, name))

    def file(self, path: Path) -> None:
        self.told["file"] = path.name

    def close(self, status: str) -> None:
        self.told["status"] = status


NOTES: list[Notes] = []


@pytest.mark.parametrize("step", ["sample", "admit"])
def test_a_set_is_found_from_its_generator_and_back(
    step: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    NOTES.clear()
    monkeypatch.setattr(set_tracking, "Tracker", Notes)
    folder = synthetic_set(tmp_path / "set", 2)
    manifest = folder / "manifest.json"
    made = SyntheticSet.open(folder).manifest.model_copy(update={"mlflow_run": "run-of-generator"})
    manifest.write_text(made.model_dump_json(), encoding="utf-8")
    result = {"set": str(folder), "count": 2, "admitted": 1, "rejected": 1, "gate_sha256": "ab"}
    track_set(step, result, tmp_path, None)
    (kept,) = NOTES
    assert kept.told["synthetic.manifest_sha256"] == SyntheticSet.open(folder).sha256
    assert kept.told["synthetic.generator_run"] == "run-of-generator"
    assert kept.told["status"] == "FINISHED"
    assert [run for run, _ in kept.others] == ["run-of-generator"]
    assert kept.told.get("synthetic.gate_sha256") == ("ab" if step == "admit" else None)
