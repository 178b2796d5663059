"""What runs and synthetic sets on disk say of their making, read from files alone.

RUN/folds.json             whom a fold has learnt from
RUN/fold_K/learnt.json     of a generator: also whose scans without a mask
RUN/fold_K/synthetic.json  which synthetic set it has used
RUN/fold_K/retired.jsonl   of a generator: patients who left (hashed); it makes no more samples
SET/manifest.json          which generator made a set, with what weights
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from medunet.config.load import read_yaml
from medunet.data.content import image_part
from medunet.errors import ConfigError
from medunet.gate.record import GATE, canonical
from medunet.workflows.synthetic_pair import sha256_of
from medunet.workflows.synthetic_set import CARD, MANIFEST, SyntheticSet

WEIGHTS, USED, LEARNT = "weights.safetensors", "synthetic.json", "learnt.json"
RETIRED = "retired.jsonl"
BEGUN = (WEIGHTS, "metrics.jsonl", "checkpoint")  # of these, one is in the folder of a fold that saw its data
PASSED_BY = {"cache", "mlflow", "images", "masks", "artifacts"}  # folders that hold neither runs nor sets
RUN_FILES, SET_FILES = {"config.yaml", "folds.json", "run.json"}, {MANIFEST, CARD}


@dataclass(frozen=True)
class TrainedFold:
    """What the files of one fold say of its training."""

    run: Path
    number: int
    task: str  # segment or synthesize
    learnt: Mapping[str, str]  # case -> patient
    held_out: Mapping[str, str]
    images: Mapping[str, str]  # case -> image_part of its content
    data: str
    data_hash: str
    bases: tuple[Path, ...]  # runs (or folds) that its weights or masks come from
    used: Mapping[str, Any]  # of a synthetic set; empty: none

    @property
    def folder(self) -> Path:
        """The fold's folder."""
        return self.run / f"fold_{self.number}"

    @cached_property
    def weights_sha256(self) -> str:
        """The hash of its weights; empty while it is not trained to the end."""
        place = self.folder / WEIGHTS
        return sha256_of(place) if place.is_file() else ""

    @property
    def score(self) -> float | None:
        """The mean held-out score of a segmenter, where it was measured."""
        final = _json(self.folder / "fold.json").get("final") or {}
        found = final.get("score")
        return None if found is None else float(found)

    def made(self, found: SyntheticSet) -> bool:
        """Tell whether a set was sampled from these very weights."""
        return self.task == "synthesize" and self.weights_sha256 == found.manifest.weights_sha256

    def has_used(self, sha256: str) -> bool:
        """Tell whether the training took cases from the set with this manifest."""
        return self.used.get("manifest_sha256") == sha256


@dataclass(frozen=True)
class Records:
    """All trained folds and synthetic sets below some folders, and what could not be read there."""

    folds: tuple[TrainedFold, ...]
    sets: tuple[SyntheticSet, ...]
    unreadable: tuple[str, ...] = ()

    def used_by(self, fold: TrainedFold) -> tuple[SyntheticSet, ...]:
        """Return the sets that a fold may have used: of copies those with the admission that it remembers."""
        found = tuple(one for one in self.sets if fold.has_used(one.sha256))
        exact = tuple(one for one in found if _gate_of(one.path) == fold.used.get("gate_sha256"))
        return exact or found


def find_records(folders: Iterable[Path]) -> Records:
    """Return the runs and synthetic sets at and below some folders, each once."""
    folds: dict[Path, list[TrainedFold]] = {}
    sets: dict[Path, SyntheticSet] = {}
    unreadable: list[str] = []
    for place in sorted({path.resolve() for folder in folders for path in _candidates(folder, unreadable)}):
        try:
            if (place / MANIFEST).is_file():
                sets[place] = SyntheticSet.open(place)
            else:
                folds[place] = list(folds_of_run(place))
        except ConfigError as error:
            unreadable.append(str(error))
    return Records(
        tuple(f for found in folds.values() for f in found), tuple(sets.values()), tuple(unreadable)
    )


def folds_of_run(run: Path) -> Iterator[TrainedFold]:
    """Yield the folds of a run that have seen their data; ConfigError where its files are damaged."""
    recipe, folds, facts = read_yaml(run / "config.yaml"), _json(run / "folds.json"), _json(run / "run.json")
    try:
        patients = {str(case): str(patient) for case, patient in folds["patients"].items()}
        images = {str(case): image_part(content) for case, content in folds["content"].items()}
        validation, left_out = folds["validation"], folds.get("left_out") or []
    except (KeyError, AttributeError, TypeError) as error:
        raise ConfigError(f"{run / 'folds.json'}: {error!r} is missing. Copy the run again.") from None
    lora, masks = recipe.get("lora") or {}, (recipe.get("sampling") or {}).get("masks") or {}
    for number, held_out in enumerate(validation):
        folder = run / f"fold_{number}"
        if not any((folder / name).exists() for name in BEGUN):
            continue
        apart = {*held_out, *(left_out[number] if left_out else ())}
        scans = _json(folder / LEARNT).get("unlabelled") or ()
        yield TrainedFold(
            run,
            number,
            recipe.get("task") or "segment",
            {case: patient for case, patient in patients.items() if case not in apart}
            | {str(scan["case"]): str(scan["patient"]) for scan in scans},
            {case: patients[case] for case in held_out if case in patients},
            images | {str(scan["case"]): str(scan["image"]) for scan in scans},
            str(facts.get("data", "")),
            str(facts.get("data_hash", "")),
            tuple(_other(run, part["run"]) for part in (lora, masks) if part.get("run")),
            _json(folder / USED) if (folder / USED).is_file() else {},
        )


def check_not_retired(fold: Path) -> None:
    """Raise a ConfigError if a patient of the generator in this fold's folder has left."""
    if (fold / RETIRED).is_file():
        raise ConfigError(
            f"{fold}: has learnt from a patient who left (`medunet retire`; {RETIRED} there). Train a "
            "generator anew without the patient."
        )


def mlflow_run_of(folder: Path) -> str | None:
    """Return the MLflow run of a fold, as its folder remembers it."""
    place = folder / "mlflow.json"
    return _json(place).get("run_id") if place.is_file() else None


def _candidates(folder: Path, unreadable: list[str]) -> Iterator[Path]:
    """Yield every folder at and below one that is a run or looks like a synthetic set.

    Sets and the folds of runs are not entered. Links are followed, each place once: sets may lie on another
    disk.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder. Give the folders where runs and synthetic sets lie.")
    seen: set[str] = set()

    def refused(error: OSError) -> None:
        unreadable.append(f"{error.filename}: cannot be listed ({error.strerror})")

    for place, inner, files in os.walk(folder, onerror=refused, followlinks=True):
        here = {*files}
        if (real := os.path.realpath(place)) in seen:
            inner.clear()
        elif here >= SET_FILES:
            inner.clear()
            yield Path(place)
        elif here >= RUN_FILES:
            inner[:] = [name for name in inner if not name.startswith("fold_")]
            yield Path(place)
        seen.add(real)
        inner[:] = sorted(name for name in inner if name[0] != "." and name not in PASSED_BY)


def _gate_of(place: Path) -> str:
    """Return the hash of a set's admission, whether it still holds or not; empty: none."""
    found = _json(place / "admission" / GATE)
    return hashlib.sha256(canonical(found).encode()).hexdigest() if found else ""


def _other(run: Path, name: str) -> Path:
    """Return a run that a run's recipe names, as `RunFolder.other` finds it."""
    here = Path(name)
    return (here if here.exists() else run.absolute().parents[1] / here).resolve()


def _json(place: Path) -> dict[str, Any]:
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{place}: cannot be read: {error}. Copy the folder again.") from None
    if not isinstance(found, dict):
        raise ConfigError(
            f"{place}: found {type(found).__name__}; expected an object. Copy the folder again."
        )
    return found
