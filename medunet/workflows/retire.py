"""retire: a patient leaves; which generators, synthetic sets, samples and models know of them?

A generator has learnt from all of its patients, so all of its samples go with each of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from medunet.errors import ConfigError
from medunet.gate.record import REVOKED
from medunet.workflows.progress import say
from medunet.workflows.records import RETIRED, Records, TrainedFold, find_records, folds_of_run
from medunet.workflows.synthetic_pair import append_line
from medunet.workflows.synthetic_set import SyntheticSet, hashed_patient

MOVED = ("images", "masks", "weights", "admission")


@dataclass
class Traces:
    """What knows of a patient."""

    images: set[str] = field(default_factory=set)  # image_part of the patient's cases
    folds: dict[Path, tuple[TrainedFold, str]] = field(default_factory=dict)  # fold folder -> fold, why
    sets: dict[Path, tuple[SyntheticSet, str]] = field(default_factory=dict)
    scored: list[TrainedFold] = field(default_factory=list)  # that only held the patient out

    def add_fold(self, fold: TrainedFold, why: str) -> bool:
        """Add a fold; say whether it was not known yet."""
        known = fold.folder in self.folds
        self.folds.setdefault(fold.folder, (fold, why))
        return not known


def retire(
    patient: str,
    *,
    workspace: Path,
    run: Path | None = None,
    data: Sequence[Path] = (),
    quarantine: bool = False,
) -> dict[str, Any]:
    """List what was made from a patient's data: generators, sets, samples, models; nothing is deleted.

    Runs and sets are looked for below the workspace and `data`. `run`: the patient is the one whom this run
    knows by the name; patients of other data with the same name are others. `quarantine` moves all samples
    of the sets into SET/quarantine, takes back their admission, and marks the generators (retired.jsonl):
    they make no more samples. ConfigError if `run` has no such patient.
    """
    records = find_records([workspace, *data, *([run] if run else [])])
    traces = _direct(patient, records, run)
    _from_traces(patient, records, traces, by_name=run is None)
    samples = {path: list(found.samples()) for path, (found, _) in traces.sets.items()}
    moved = {
        str(path): _quarantine(found, samples[path], patient)
        for path, (found, _) in traces.sets.items()
        if quarantine
    }
    for fold, _ in traces.folds.values():
        if quarantine and fold.task == "synthesize":
            _mark(fold, patient)
    result = {
        "patient": patient,
        "known": bool(traces.folds or traces.sets or traces.scored),
        "generators": [_fold_row(*entry) for entry in traces.folds.values() if entry[0].task == "synthesize"],
        "sets": [_set_row(*entry, traces.images) for entry in traces.sets.values()],
        "models": [_fold_row(*entry) for entry in traces.folds.values() if entry[0].task != "synthesize"],
        "held_out_only": [str(fold.folder) for fold in traces.scored if fold.folder not in traces.folds],
        "quarantined": moved,
        "unreadable": list(records.unreadable),
    }
    _tell(result, workspace)
    if not result["known"]:
        say(_spelling(patient, records))
    return result


def _direct(patient: str, records: Records, run: Path | None) -> Traces:
    """Return the folds that have learnt from the patient's own scans."""
    traces = Traces()
    wanted = _images_in(patient, run) if run else None
    for fold in records.folds:
        named = {case for case, who in {**fold.learnt, **fold.held_out}.items() if who == patient}
        if wanted is not None:
            named = {case for case, image in fold.images.items() if image in wanted}
        traces.images |= {fold.images[case] for case in named if case in fold.images}
        if named & set(fold.learnt):
            traces.add_fold(fold, f"learnt from the patient ({len(named & set(fold.learnt))} cases)")
        elif named:
            traces.scored.append(fold)
    return traces


def _images_in(patient: str, run: Path) -> set[str]:
    """Return the images of the patient whom a run knows by this name."""
    folds = list(folds_of_run(run))
    found = {f.images[c] for f in folds for c, who in {**f.learnt, **f.held_out}.items() if who == patient}
    if not found:
        raise ConfigError(f"--run {run}: knows no patient {patient}. Give the name as its folds.json has it.")
    return found


def _from_traces(patient: str, records: Records, traces: Traces, *, by_name: bool) -> None:
    """Add what was made with what is known, step by step until nothing new is found."""
    new = True
    while new:
        new = False
        for found in records.sets:
            if found.path not in traces.sets and (why := _why_set(patient, found, traces, by_name=by_name)):
                traces.sets[found.path], new = (found, why), True
                traces.images |= _images_of_hash(found, patient) if by_name else set()
        for fold in records.folds:
            if why := _why_fold(fold, traces):
                new |= traces.add_fold(fold, why)


def _why_set(patient: str, found: SyntheticSet, traces: Traces, *, by_name: bool) -> str:
    known = {one.image for one in found.manifest.trained_on}
    if known & traces.images:
        return "its generator has learnt from the patient's scans"
    if by_name and _images_of_hash(found, patient):
        return "its generator has learnt from a patient of this name"
    makers = [f for f, _ in traces.folds.values() if f.made(found)]
    return f"made by {makers[0].folder}" if makers else ""


def _images_of_hash(found: SyntheticSet, patient: str) -> set[str]:
    made = found.manifest
    name = hashed_patient(made.salt, patient)
    return {one.image for one in made.trained_on if one.patient == name}


def _why_fold(fold: TrainedFold, traces: Traces) -> str:
    if fold.folder in traces.folds:
        return ""
    if {fold.images.get(case) for case in fold.learnt} & traces.images:
        return "learnt from the patient's scans, which it knows by another name"
    for path, (found, _) in traces.sets.items():
        if fold.has_used(found.sha256):
            return f"learnt from the synthetic set {path}"
    for other, _ in traces.folds.values():
        weights = fold.used.get("generator_weights_sha256")
        if other.task == "synthesize" and weights and weights == other.weights_sha256:
            return f"learnt from a synthetic set of {other.folder}"
        if {other.run, other.folder} & set(fold.bases):
            return f"made with {other.run}"
    return ""


def _quarantine(found: SyntheticSet, cases: Sequence[str], patient: str) -> int:
    """Take back the admission of cases and move their files; return how many cases were not yet gone."""
    before = found.revoked()
    name = hashed_patient(found.manifest.salt, patient)
    for case in cases:
        if case not in before:  # first the word, then the files: a kill between the two admits nothing
            line = {"case": case, "reason": "a patient of the generator's left", "patient": name}
            append_line(found.path / REVOKED, json.dumps(line))
        for kind in MOVED:
            for file in sorted((found.path / kind).glob(f"{case}.*")):
                target = found.path / "quarantine" / kind / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)
    return len(set(cases) - before)


def _mark(fold: TrainedFold, patient: str) -> None:
    """Write into a generator's fold, once, that a patient has left; the name is hashed as in manifests."""
    salt = hashlib.sha256(fold.run.name.encode()).hexdigest()[:16]
    line = json.dumps({"patient": hashed_patient(salt, patient), "salt": salt})
    place = fold.folder / RETIRED
    if not place.is_file() or line not in place.read_text(encoding="utf-8").splitlines():
        append_line(place, line)


def _fold_row(fold: TrainedFold, why: str) -> dict[str, Any]:
    return {
        "run": str(fold.run),
        "fold": fold.number,
        "because": why,
        "weights_sha256": fold.weights_sha256,
        "finished": bool(fold.weights_sha256),
    }


def _set_row(found: SyntheticSet, why: str, images: set[str]) -> dict[str, Any]:
    samples = found.samples()
    kin = [case for case, sample in samples.items() if set(sample.parents) & images]
    return {
        "set": str(found.path),
        "because": why,
        "manifest_sha256": found.sha256,
        "samples": len(samples),
        "from_own_masks": kin,
        "revoked": len(found.revoked()),
    }


def _spelling(patient: str, records: Records) -> str:
    """Say that nobody has this name: a patient who is misspelt would stay in."""
    names = {who for fold in records.folds for who in (*fold.learnt.values(), *fold.held_out.values())}
    alike = get_close_matches(patient, sorted(names))
    hint = f"alike are {', '.join(alike)}" if alike else f"{len(names)} others are known"
    return f"No run or set here knows a patient {patient}: {hint}. Check the name in the runs' folds.json."


def _tell(result: dict[str, Any], workspace: Path) -> None:
    rows = [
        *(("generator", f"{row['run']} fold {row['fold']}", row["because"]) for row in result["generators"]),
        *(
            (
                "synthetic set",
                row["set"],
                f"{row['because']}; {row['samples']} samples, "
                f"{len(row['from_own_masks'])} from the patient's masks, {row['revoked']} revoked",
            )
            for row in result["sets"]
        ),
        *(("model", f"{row['run']} fold {row['fold']}", row["because"]) for row in result["models"]),
    ]
    for kind, name, why in rows:
        say(f"{kind:<14}{name}: {why}")
    for reason in result["unreadable"]:
        say(f"could not be read: {reason}")
    if result["known"] and not rows:
        say(f"Nothing below {workspace} (and --data) has learnt from this patient, or was made from it.")
    elif not result["quarantined"] and result["sets"]:
        say("Nothing was changed. --quarantine takes the samples back and marks the generators.")
