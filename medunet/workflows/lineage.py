"""lineage: from a score to the synthetic set, its generator and the patients' data, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medunet.errors import ConfigError
from medunet.workflows.progress import say
from medunet.workflows.records import Records, TrainedFold, find_records, mlflow_run_of
from medunet.workflows.synthetic_set import MANIFEST, SyntheticSet

SHORT = 12  # digits of a hash that are shown


@dataclass(frozen=True)
class Node:
    """One thing with what it was made from and what was made with it."""

    kind: str  # data, generator, synthetic set, segmenter
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    made_from: tuple[Node, ...] = ()
    used_by: tuple[Node, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "name": self.name,
            **self.facts,
            "made_from": [node.as_json() for node in self.made_from],
            "used_by": [node.as_json() for node in self.used_by],
        }


def lineage(place: Path, *, workspace: Path, data: Sequence[Path] = ()) -> dict[str, Any]:
    """Print and return where a run or synthetic set comes from and what was made with it, over all steps.

    Runs and sets are looked for below the workspace and `data`. ConfigError if `place` is neither.
    """
    only = int(place.name[5:]) if place.name.startswith("fold_") and place.name[5:].isdigit() else None
    place = place.parent if only is not None else place
    records = find_records([workspace, *data, place])
    roots: list[Node]
    if (place / MANIFEST).is_file():
        roots = [_of_set(SyntheticSet.open(place), records)]
    else:
        mine = [f for f in records.folds if f.run.resolve() == place.resolve() and only in (None, f.number)]
        if not mine:
            raise ConfigError(f"{place}: neither a trained run nor a synthetic set. Give the folder of one.")
        roots = [_of_fold(fold, records) for fold in mine]
    for root in roots:
        for line in drawn(root):
            say(line)
    return {"lineage": [root.as_json() for root in roots], "unreadable": list(records.unreadable)}


def drawn(node: Node, indent: str = "") -> Iterator[str]:
    """Yield the lines of a tree: what a thing was made from above `<-`, what was made with it below `->`."""
    facts = ", ".join(
        f"{key} {_shown(value)}" for key, value in node.facts.items() if value not in ("", None)
    )
    yield f"{indent}{node.kind} {node.name}" + (f": {facts}" if facts else "")
    inner = " " * (len(indent) - 3 if indent else 0)
    for arrow, nodes in (("<- ", node.made_from), ("-> ", node.used_by)):
        for other in nodes:
            yield from drawn(other, f"{inner}   {arrow}")


def _of_fold(fold: TrainedFold, records: Records, *, up: bool = True, down: bool = True) -> Node:
    kind = "generator" if fold.task == "synthesize" else "segmenter"
    facts: dict[str, Any] = {
        "fold": fold.number,
        "weights_sha256": fold.weights_sha256,
        "learnt_from": f"{len(fold.learnt)} cases of {len(set(fold.learnt.values()))} patients",
        "score": fold.score if kind == "segmenter" else None,
        "used": fold.used.get("used"),
        "mlflow_run": mlflow_run_of(fold.folder),
    }
    above: list[Node] = []
    if up:
        above.append(Node("data", fold.data, {"data_hash": fold.data_hash}))
        above += [
            _of_fold(f, records, down=False) for f in records.folds if {f.run, f.folder} & set(fold.bases)
        ]
        above += _sets_used(fold, records)
    below = [_of_set(s, records, up=False) for s in records.sets if fold.made(s)] if down else []
    return Node(kind, str(fold.run), facts, tuple(above), tuple(below))


def _sets_used(fold: TrainedFold, records: Records) -> list[Node]:
    """Return the set that a fold has used: as it lies there, else what the fold remembers of it."""
    if not fold.used:
        return []
    found = [_of_set(s, records, down=False) for s in records.used_by(fold)]
    keys = ("manifest_sha256", "gate_sha256", "generator", "generator_weights_sha256")
    known = {key: fold.used.get(key) for key in keys}
    return found or [Node("synthetic set", f"{fold.used.get('set')} (not found)", known)]


def _of_set(found: SyntheticSet, records: Records, *, up: bool = True, down: bool = True) -> Node:
    made = found.manifest
    gate = found.path / "admission" / "gate.json"
    facts = {
        "manifest_sha256": found.sha256,
        "samples": len(found.samples()),
        "revoked": len(found.revoked()) or None,
        "admission": "none" if not gate.is_file() else None,
    }
    above: list[Node] = []
    if up:
        above = [_of_fold(fold, records, down=False) for fold in records.folds if fold.made(found)]
        known = {"fold": made.fold, "weights_sha256": made.weights_sha256, "mlflow_run": made.mlflow_run}
        above = above or [Node("generator", f"{made.generator} (not found)", known)]
    place = found.path.resolve()
    below = [
        _of_fold(fold, records, up=False)
        for fold in records.folds
        if down and place in [one.path for one in records.used_by(fold)]
    ]
    return Node("synthetic set", str(found.path), facts, tuple(above), tuple(below))


def tags_of_set(found: SyntheticSet) -> dict[str, Any]:
    """Return the MLflow tags of whatever has to do with a set: the same names at every step, to search by."""
    made = found.manifest
    return {
        "synthetic.set": found.path.name,
        "synthetic.manifest_sha256": found.sha256,
        "synthetic.generator": made.generator_name,
        "synthetic.generator_weights_sha256": made.weights_sha256,
        "synthetic.generator_run": made.mlflow_run or "",
    }


def tags_of_gate(found: SyntheticSet, gate_sha256: str, admitted: int, rejected: int) -> dict[str, Any]:
    """Return the MLflow tags of an admission: those of its set, and what came of it."""
    gate = {"gate_sha256": gate_sha256, "admitted": admitted, "rejected": rejected}
    return {**tags_of_set(found), **{f"synthetic.{key}": value for key, value in gate.items()}}


def tags_of_generator(found: SyntheticSet) -> dict[str, Any]:
    """Return the tag that a generator's own MLflow run gets for a set that was made with it."""
    return {f"made.{found.sha256[:SHORT]}": found.path.name}


def _shown(value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text[:SHORT] if len(text) == 64 else text
