"""MLflow runs of a synthetic set: its sampling and its admission, joined with other runs by tags."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from medunet.engine.tracking import Tracker
from medunet.workflows.lineage import tags_of_gate, tags_of_generator, tags_of_set
from medunet.workflows.progress import say
from medunet.workflows.synthetic_set import SyntheticSet

SUMMARY = "admission/summary.json"


def track_set(
    step: Literal["sample", "admit"], result: Mapping[str, Any], workspace: Path, uri: str | None
) -> None:
    """Write what became of a set as an MLflow run; the generator's run gets a tag that leads to it."""
    found = SyntheticSet.open(Path(result["set"]))
    name = f"{found.path.name}/{step}"
    tracker = Tracker(
        uri,
        workspace=workspace,
        experiment=found.card.name.removesuffix("_synthetic"),
        run_name=name,
        run_key=f"{name} {found.sha256}",
        state_file=found.path / f"mlflow_{step}.json",
        say=say,
    )
    if step == "sample":
        tracker.tags(tags_of_set(found))
        tracker.metrics(0, {"samples": float(result["count"])})
    else:
        gate = str(result["gate_sha256"])
        tracker.tags(tags_of_gate(found, gate, result["admitted"], result["rejected"]))
        tracker.metrics(0, {"admitted": float(result["admitted"]), "rejected": float(result["rejected"])})
        tracker.file(found.path / SUMMARY)
    if generator := found.manifest.mlflow_run:
        for tag in tags_of_generator(found):
            tracker.tag_other(generator, tag)
    tracker.close("FINISHED")
