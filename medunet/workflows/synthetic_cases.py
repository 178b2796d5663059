"""Synthetic cases for a training: admitted ones only, and none that knows a held-out patient."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medunet.config.card import Card
from medunet.config.recipe import SyntheticChoice
from medunet.config.run import RunFolder
from medunet.config.samples import Manifest
from medunet.data.cache import Entry, cached
from medunet.data.content import content_of, image_part
from medunet.data.parallel import each, workers_for
from medunet.engine.tracking import Tracker
from medunet.errors import ConfigError, DataError, MedunetError
from medunet.gate.record import Admitted, admission_key, file_sha256, read_admitted, read_card, read_manifest
from medunet.io.read import read_header
from medunet.io.write import write_atomic
from medunet.workflows.progress import progress, say
from medunet.workflows.synthetic_set import hashed_patient

CACHE_GB = 4.0  # memory for cases that are worked on at the same time
SHOWN = 5  # names in a message
RECORD = "synthetic.json"


@dataclass(frozen=True)
class Synthetic:
    """What a fold learns from besides its real cases, and where it comes from."""

    entries: tuple[Entry, ...]
    facts: dict[str, Any]  # for synthetic.json and fold.json

    @property
    def known(self) -> dict[str, Any]:
        """The lineage without the cases: set, generator, and how much was used."""
        return {key: value for key, value in self.facts.items() if key != "cases"}

    def track(self, tracker: Tracker) -> None:
        """Write the lineage both ways: into this MLflow run, and into that of the generator."""
        tracker.tags({f"synthetic.{key}": value for key, value in self.known.items()})
        if generator := self.facts["generator_run"]:
            tracker.tag_other(generator, "used_by")


def synthetic_cases(run: RunFolder, fold: int, workspace: Path) -> Synthetic | None:
    """Return the synthetic cases of a fold, preprocessed by the run's own plan; None if its recipe has none.

    ConfigError or DataError, with the cases' names: a case is not admitted or was changed since, the labels
    differ, or the generator or a mask's parent belongs to patients that this fold does not learn from. What
    was chosen is kept in fold_K/synthetic.json: a resumed training must find the same.
    """
    choice = run.recipe.synthetic
    if choice is None:
        return None
    place = Path(choice.set.replace("{fold}", str(fold)))
    place = place if place.is_dir() else workspace / place
    if not (place / "manifest.json").is_file():
        raise ConfigError(
            f"synthetic.set: {place} is no synthetic set: no manifest.json. Name the folder of a set that "
            "`medunet sample` made and `medunet admit` has checked."
        )
    card, manifest = read_card(place), read_manifest(place)
    check_card(card, run.card, place)
    admitted = read_admitted(place, admission_key(workspace))
    check_fold_safe(run, fold, manifest, admitted, place)
    chosen = choose(admitted, choice, len(run.folds.training(fold)), run.folds.seed)
    facts = _facts(place, manifest, admitted, chosen)
    _remember(run.fold(fold) / RECORD, facts)
    return Synthetic(_entries(chosen, card, run, workspace / "cache"), facts)


def check_card(card: Card, real: Card, place: Path) -> None:
    """Raise a ConfigError unless a set's card has the labels, channels and dimensions of the real one."""
    found, expected = (
        {"labels": {v: label.name for v, label in c.labels.items()}, "channels": c.channels, "dims": c.dims}
        for c in (card, real)
    )
    if found != expected:
        raise ConfigError(
            f"{place / 'card.yaml'}: found {found}, expected {expected} as in the card {real.name}. Take a "
            "set whose generator was trained with this card."
        )


def check_fold_safe(
    run: RunFolder, fold: int, manifest: Manifest, admitted: Sequence[Admitted], place: Path
) -> None:
    """Raise a DataError if a set knows a patient or an image that the fold does not learn from.

    Not only the validation part: with `training.patients: 10` a generator that has seen the eleventh patient
    would make the number untrue, unless it has seen the scan alone (`unlabelled`).
    """
    folds = run.folds
    mine = set(folds.training(fold))
    other = {case: patient for case, patient in folds.patients.items() if case not in mine}
    images = {image_part(folds.content[case]): case for case in other}
    for case in mine:  # a twin of a training image is never scored
        images.pop(image_part(folds.content[case]), None)
    patients = {hashed_patient(manifest.salt, patient): case for case, patient in other.items()}
    held_out = set(folds.validation[fold])
    known = {
        case
        for one in manifest.trained_on
        for case in (patients.get(one.patient), images.get(one.image))
        if case is not None and (one.labelled or case in held_out)
    }
    if guilty := sorted(known):
        raise DataError(
            f"{place}: its generator was trained on {_some(guilty)}, which fold {fold} holds out or leaves "
            "out; scores would be too good. Train a generator on this fold, with the same patients."
        )
    for one in admitted:
        kin = {*one.sample.parents, image_part(content_of(one.case))} & set(images)
        if kin:
            raise DataError(
                f"{place}: the case {one.case.id} is made from {_some(sorted(images[k] for k in kin))}, "
                f"which fold {fold} holds out or leaves out. Make the set from this fold's training cases."
            )


def choose(
    admitted: Sequence[Admitted], choice: SyntheticChoice, real: int, seed: int
) -> tuple[Admitted, ...]:
    """Return `ratio` cases per real one, drawn so that those of a smaller ratio are among them."""
    wanted = max(1, round(choice.ratio * real))
    if len(admitted) < wanted:
        say(
            f"synthetic: {len(admitted)} cases are admitted, {wanted} are wanted ({choice.ratio:g} for each "
            f"of {real} real ones); all are used, which is {len(admitted) / real:.2g} for each."
        )
    ordered = sorted(admitted, key=lambda one: one.case.id)
    order = np.random.default_rng((seed, 4)).permutation(len(ordered))
    return tuple(ordered[index] for index in order[:wanted])


def _facts(
    place: Path, manifest: Manifest, admitted: Sequence[Admitted], chosen: Sequence[Admitted]
) -> dict[str, Any]:
    return {
        "set": str(place.absolute()),
        "manifest_sha256": file_sha256(place / "manifest.json"),
        "gate_sha256": chosen[0].admission.gate,
        "generator": manifest.generator_name,
        "generator_weights_sha256": manifest.weights_sha256,
        "generator_run": manifest.mlflow_run,
        "admitted": len(admitted),
        "used": len(chosen),
        "cases": {one.case.id: one.sample.image_sha256 for one in chosen},
    }


def _remember(place: Path, facts: dict[str, Any]) -> None:
    """Write what a fold is trained with, or raise a ConfigError if it was begun with something else."""
    if place.is_file():
        before = json.loads(place.read_text(encoding="utf-8"))
        if differs := sorted(key for key in facts if key != "set" and facts[key] != before.get(key)):
            raise ConfigError(
                f"{place}: the training was begun with another synthetic set ({', '.join(differs)} differ). "
                "Put that set back, or give another --name."
            )
    with write_atomic(place) as temporary:
        temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _entries(chosen: Sequence[Admitted], card: Card, run: RunFolder, cache: Path) -> tuple[Entry, ...]:
    """Return the cases preprocessed as the run's real ones are; the first that cannot be read is an error."""
    largest = int(np.prod(read_header(chosen[0].case.images[0]).shape)) * card.channels
    make = partial(_entry, card=card, run=run, cache=cache)
    made: dict[str, Entry] = {}
    with progress("Caching synthetic cases", len(chosen)) as bar:
        for one, entry in each(make, chosen, workers_for(largest, CACHE_GB)):
            if isinstance(entry, MedunetError):
                raise entry
            made[one.case.id] = entry
            bar.advance()
    return tuple(made[one.case.id] for one in chosen)


def _entry(one: Admitted, *, card: Card, run: RunFolder, cache: Path) -> Entry:
    content = f"{content_of(one.case)}:{one.admission.weights_sha256 or ''}"
    return cached(one.case, card, run.plan, content, cache, one.weights)


def _some(names: Sequence[Any]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(str(name) for name in names[:SHOWN]) + more
