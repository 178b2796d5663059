"""What the gate stands on: the generator's run, its training cases and those that it has never seen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from medunet.config.run import RunFolder
from medunet.config.samples import Manifest
from medunet.data.cache import Entry
from medunet.data.cases import Case
from medunet.data.content import image_part
from medunet.errors import ConfigError, DataError
from medunet.gate.pieces import Piece
from medunet.tasks.synthesize import read_learnt
from medunet.workflows.prepare import Survey, fill_cache, survey
from medunet.workflows.records import check_not_retired
from medunet.workflows.synthetic_set import hashed_patient
from medunet.workflows.unlabelled import Unlabelled, unlabelled_scans

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Ground:
    """The real cases of one fold of a run."""

    run: RunFolder
    fold: int
    cases: dict[str, Case]
    entries: dict[str, Entry]
    unlabelled: Unlabelled = field(default_factory=Unlabelled)
    content: dict[str, str] = field(default_factory=dict)  # case -> hashes of image and mask, as they are now

    @classmethod
    def of(cls, run: RunFolder, fold: int, workspace: Path) -> Ground:
        """Return the cached cases of the run; DataError where its training data are gone."""
        cache = workspace / "cache"
        found = survey(run.card, Path(run.origin["data"]), cache)
        entries = fill_cache(found, run.plan, cache)
        kept = {
            name: entry
            for name, entry in entries.items()
            if image_part(found.content[name]) == image_part(run.folds.content.get(name, ""))
        }
        if missing := sorted(set(run.folds.training(fold)) - set(kept)):
            raise DataError(
                f"{found.data}: {len(missing)} cases that {run.path} was trained on are not there as they "
                f"were, such as {missing[0]}; a copy of them could not be told. Put them back."
            )
        return cls(run, fold, found.cases, kept, _bare(run, fold, found, cache), found.content)

    @property
    def training(self) -> tuple[str, ...]:
        """The cases that the generator has learnt from."""
        return self.run.folds.training(self.fold)

    @property
    def unseen(self) -> tuple[str, ...]:
        """The held-out cases, but for those with the image of a training case."""
        known = {self.image(case) for case in self.training}
        names = self.run.folds.validation[self.fold]
        return tuple(n for n in names if n in self.entries and self.image(n) not in known)

    def image(self, case: str) -> str:
        """Return the content hash of a case's image."""
        return image_part(self.run.folds.content[case])

    def pieces(self, cases: Sequence[str]) -> list[Piece]:
        """Return whole cases as the generator's training saw them."""
        return [self._piece(case) for case in cases]

    @property
    def bare(self) -> list[Piece]:
        """The scans that the generator has learnt from without a mask; nothing is labelled in them here."""
        out = []
        for scan, entry in zip(self.unlabelled.scans, self.unlabelled.entries, strict=True):
            image = np.asarray(entry.image, np.float32)
            out.append(Piece(scan.case, scan.patient, image, np.zeros(image.shape[1:], np.uint8)))
        return out

    def _piece(self, case: str) -> Piece:
        entry = self.entries[case]
        image = np.asarray(entry.image, np.float32)
        return Piece(case, self.run.folds.patients[case], image, np.asarray(entry.mask))


def _bare(run: RunFolder, fold: int, found: Survey, cache: Path) -> Unlabelled:
    """Return the scans without a mask that a generator knows; DataError if one is gone."""
    if not run.makes_scans or not run.generator.unlabelled:
        return Unlabelled()
    out = unlabelled_scans(run, fold, found, cache)
    known = {scan.image for scan in read_learnt(run.fold(fold)).unlabelled}
    if missing := known - {scan.image for scan in out.scans}:
        raise DataError(
            f"{found.data}: {len(missing)} scans that {run.path} has learnt from without a mask are gone or "
            "changed; a copy of them could not be told. Put them back."
        )
    return out


def generator_of(manifest: Manifest, workspace: Path) -> tuple[RunFolder, int]:
    """Return the run and fold that made a set.

    ConfigError if they are not there, were trained anew, or know a patient who has left.
    """
    places = [Path(manifest.generator), workspace / "runs" / manifest.generator_name]
    place = next((p for p in places if (p / "config.yaml").is_file()), None)
    if place is None:
        raise ConfigError(
            f"{manifest.generator}: the run that made this set is not there, nor {places[1]}; without it no "
            "copy of its training cases can be told. Put the run back."
        )
    run = RunFolder.open(place)
    weights = run.fold(manifest.fold) / WEIGHTS
    found = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else "none"
    if found != manifest.weights_sha256:
        raise ConfigError(
            f"{weights}: found weights {found[:12]}, expected {manifest.weights_sha256[:12]}, which made "
            "this set. Put the run back as it was, or make the set anew."
        )
    check_not_retired(run.fold(manifest.fold))
    return run, manifest.fold


def check_fold_safe(manifest: Manifest, ground: Ground) -> None:
    """Raise a ConfigError if the generator has learnt from a patient or image of its held-out cases."""
    patients = {one.patient for one in manifest.trained_on}
    images = {one.image for one in manifest.trained_on}
    folds = ground.run.folds
    mine = {ground.image(case) for case in ground.training}
    for case in folds.validation[ground.fold]:
        known = hashed_patient(manifest.salt, folds.patients[case]) in patients
        if known or (ground.image(case) in images and ground.image(case) not in mine):
            raise ConfigError(
                f"{case}: is held out in fold {ground.fold} of {ground.run.path}, but the generator (or one "
                "that it was tuned from) has learnt from it. Train it on the fold's training cases only."
            )
    if missing := mine - images:
        raise ConfigError(
            f"manifest.json: {len(missing)} training images of {ground.run.path} are not in `trained_on`. "
            "Make the set anew: the manifest does not belong to this run."
        )


def check_segmenter(run: RunFolder, ground: Ground) -> None:
    """Raise a ConfigError if the segmenter knows a held-out case of the generator, by image or patient."""
    held_out = {ground.image(case): case for case in ground.unseen}
    patients = {ground.run.folds.patients[case]: case for case in ground.unseen}
    same_data = run.card.name == ground.run.card.name
    if run.card.labels.keys() != ground.run.card.labels.keys():
        raise ConfigError(
            f"{run.path}: segments labels {list(run.card.labels)}, expected {list(ground.run.card.labels)}."
        )
    if not run.trained:
        raise ConfigError(f"{run.path}: no trained weights. Run `medunet train` to its end first.")
    for fold in run.trained:
        for case in run.folds.training(fold):
            twin = held_out.get(image_part(run.folds.content[case]))
            twin = twin or (patients.get(run.folds.patients[case]) if same_data else None)
            if twin:
                raise ConfigError(
                    f"{run.path}, fold {fold}: has learnt from {twin}, which the generator's fold "
                    f"{ground.fold} holds out: its agreement would be too good. Name one fold that holds out "
                    f"the same cases, such as {run.path / f'fold_{ground.fold}'}."
                )
