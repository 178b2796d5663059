"""admit: the gate between `sample` and `train`. Every sample gets a signed record; rejects go to quarantine.

The same command again gives the same records: what was measured is remembered as long as settings, samples
and real cases are the same. After a change of settings the rejects are looked at again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from medunet.config.gate import GateSettings
from medunet.config.run import RunFolder
from medunet.config.samples import Admission, Check
from medunet.data.cases import Case, find_cases
from medunet.data.fingerprint import read_pair
from medunet.errors import DataError, MedunetError
from medunet.gate.agreement import Agreement, judge
from medunet.gate.duplicates import duplicates
from medunet.gate.examine import Examiner
from medunet.gate.pieces import Piece, middle, preprocessed
from medunet.gate.record import (
    GATE,
    admission_key,
    canonical,
    file_sha256,
    gate_hash,
    sign,
    weights_of,
    write_record,
)
from medunet.gate.views import View, view_of
from medunet.io.volume import Volume
from medunet.io.write import write_mask
from medunet.workflows.admit_agreement import Judge
from medunet.workflows.admit_files import bring_back, not_as_made, quarantine
from medunet.workflows.admit_ground import Ground, check_fold_safe, generator_of
from medunet.workflows.admit_measured import Agreed, Measured, Notebook
from medunet.workflows.admit_report import Outcome, told, write_admission
from medunet.workflows.progress import progress, say
from medunet.workflows.synthetic_set import SyntheticSet

VERSION = 2  # raise it when a check changes: samples are measured again
BATCH = 32  # samples that are measured and remembered together
COPY = "copy"  # the method of masks that are those of training cases


def admit(
    place: Path,
    *,
    workspace: Path,
    segmenter: RunFolder | None = None,
    settings: GateSettings | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Check all samples of a set and return {"set", "admitted", "rejected", "failed", ...}.

    ConfigError: no synthetic set, its generator is gone or not fold-safe, or the segmenter knows held-out
    cases. DataError: the real cases are gone, or no sample can be read.
    """
    target = SyntheticSet.open(place)
    run, fold = generator_of(target.manifest, workspace)
    ground = Ground.of(run, fold, workspace)
    check_fold_safe(target.manifest, ground)
    judging = Judge.load(segmenter, ground, device) if segmenter else None
    chosen = settings or GateSettings()
    return Admitting(target, ground, chosen, admission_key(workspace), judging, device).run()


@dataclass
class Admitting:
    """One admission of a set."""

    target: SyntheticSet
    ground: Ground
    settings: GateSettings
    key: bytes
    judge: Judge | None
    device: str | None
    failed: list[dict[str, str]] = field(default_factory=list)
    views: dict[str, View] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Measure, decide, sign and sort out; return what `--json` prints."""
        if self.judge and "agreement" in self.settings.checks:
            self.yardstick  # noqa: B018 - learnt first: a judge that is none ends the command here
        bring_back(self.target)
        cases = self.cases()
        self.write_gate()
        gate = gate_hash(self.target.path)
        measured = self.measure(cases, Notebook.open(self.folder / "measured.jsonl", gate, self.key))
        if not measured:
            raise DataError(
                f"{self.target.path}: none of {len(cases)} samples could be measured; the first: "
                f"{self.failed[-1]['case']}: {self.failed[-1]['reason']} Make the set anew."
            )
        decided = self.decide(measured)
        for case, checks in decided.items():
            self.sign(case, checks, measured[case], gate)
        outcome = Outcome(self.target, decided, measured, tuple(self.failed), gate, self.settings)
        quarantine(self.target, [*outcome.rejected, *(line["case"] for line in self.failed)])
        result = outcome.result(self.ground, self.device)
        write_admission(self.folder, result, outcome)
        told(result, self.target.path)
        return result

    @property
    def folder(self) -> Path:
        """Where records go."""
        return self.target.path / "admission"

    def cases(self) -> dict[str, Case]:
        """Return the cases that were not revoked and whose files are as they were made; DataError: none."""
        found = {case.id: case for case in find_cases(self.target.card, self.target.path).cases}
        gone = self.target.revoked()
        samples = {name: one for name, one in self.target.samples().items() if name not in gone}
        out = {}
        for name, sample in samples.items():
            if problem := not_as_made(found.get(name), sample):
                self.failed.append({"case": name, "reason": problem})
            else:
                out[name] = found[name]
        if not out:
            raise DataError(
                f"{self.target.path}: none of {len(samples)} samples can be checked. Make them anew."
            )
        return out

    def write_gate(self) -> None:
        """Write what decides the records; those of another gate become invalid at this moment."""
        names = ("manifest.json", "samples.jsonl", "card.yaml")
        real = {
            kind: [self.ground.content[case] for case in cases]
            for kind, cases in (("training", self.ground.training), ("unseen", self.ground.unseen))
        } | {"bare": [scan.image for scan in self.ground.unlabelled.scans]}
        facts: dict[str, Any] = {
            "version": VERSION,
            "settings": self.settings.model_dump(mode="json"),
            "segmenter": self.judge.weights_sha256 if self.judge else None,
            **{
                kind: hashlib.sha256(canonical({kind: images}).encode()).hexdigest()
                for kind, images in real.items()
            },
            **{name: file_sha256(self.target.path / name) for name in names},
        }
        write_record(self.target.path, GATE, facts)

    def measure(self, cases: Mapping[str, Case], notebook: Notebook) -> dict[str, Measured]:
        """Return what each sample is like; what is known already is only read for its view."""
        names = sorted(cases)
        with progress("Checking samples", len(names)) as bar:
            for start in range(0, len(names), BATCH):
                batch = self._read(cases, names[start : start + BATCH])
                new = {name: one for name, one in batch.items() if not self._known(name, notebook)}
                for found in self._measured(cases, new):
                    notebook.add(found)
                bar.advance(len(names[start : start + BATCH]))
        failed = {line["case"] for line in self.failed}
        return {name: notebook.known[name] for name in names if name not in failed}

    def decide(self, measured: Mapping[str, Measured]) -> dict[str, list[Check]]:
        """Return all checks of each sample, with those that need the whole set."""
        names = list(measured)
        out = {name: list(measured[name].checks) for name in names}
        for name, check in zip(
            names, duplicates([self.views[n] for n in names], self.settings.duplicate), strict=True
        ):
            out[name].append(_named(check, names))
        if self.judge and "agreement" in self.settings.checks:
            agreed = [one.agreement.back() for one in measured.values() if one.agreement]
            labels = self.ground.run.card.label_names
            for name, check in zip(names, judge(agreed, self.yardstick, labels, self.settings), strict=True):
                out[name].append(check)
        return out

    def sign(self, case: str, checks: Sequence[Check], measured: Measured, gate: str) -> None:
        """Write the signed record of a sample."""
        record = Admission(
            case=case,
            verdict="admitted" if all(check.passed for check in checks) else "rejected",
            image_sha256=measured.image_sha256,
            mask_sha256=measured.mask_sha256,
            weights_sha256=measured.weights_sha256,
            checks=tuple(checks),
            gate=gate,
            segmenter=self.judge.weights_sha256 if self.judge else None,
        )
        write_record(self.target.path, f"{case}.json", sign(record, self.key))

    @cached_property
    def examiner(self) -> Examiner:
        """What real cases say; learnt when the first sample is measured."""
        say(f"Learning from {len(self.ground.training)} real training cases ...")
        run = self.ground.run
        images = [self.ground.image(case) for case in self.ground.training]
        images += [scan.image for scan in self.ground.unlabelled.scans]
        training, bare = self.ground.pieces(self.ground.training), self.ground.bare
        return Examiner.of(
            training, images, run.plan.patch_voxels, run.plan, run.card.label_names, self.settings, bare
        )

    @cached_property
    def yardstick(self) -> Any:
        """The judge's Dice on unseen real cases."""
        if self.judge is None:
            raise DataError("no segmenter was named.")
        return self.judge.yardstick(self.ground, self.ground.run.plan.patch_voxels, self.settings.bins)

    def _read(
        self, cases: Mapping[str, Case], names: Sequence[str]
    ) -> dict[str, tuple[Volume, Volume, Piece]]:
        out = {}
        for name in names:
            try:
                image, mask = read_pair(cases[name], self.target.card)
                plan = self.ground.run.plan
                piece = preprocessed(name, image, mask, self.target.card, plan)
                piece = middle(piece, plan.patch_voxels, plan)
            except MedunetError as error:
                self.failed.append({"case": name, "reason": str(error)})
                say(f"failed: {name}: {error}")
                continue
            out[name] = (image, mask, piece)
            self.views[name] = self._view(piece)
        return out

    def _view(self, piece: Piece) -> View:
        return view_of(piece.image, piece.mask, self.ground.run.plan.patch_voxels)

    def _known(self, name: str, notebook: Notebook) -> bool:
        known, sample = notebook.known.get(name), self.target.samples()[name]
        if known is None or (known.image_sha256, known.mask_sha256) != (
            sample.image_sha256,
            sample.mask_sha256,
        ):
            return False
        if known.weights_sha256 is None:
            return True
        place = self.target.path / "weights" / self.target.mask_path(name).name
        return place.is_file() and file_sha256(place) == known.weights_sha256

    def _measured(
        self, cases: Mapping[str, Case], batch: Mapping[str, tuple[Volume, Volume, Piece]]
    ) -> list[Measured]:
        if not batch:
            return []
        near = self.examiner.remember([piece for _, _, piece in batch.values()])
        samples = self.target.samples()
        out = []
        for (name, (image, mask, piece)), (_, copied) in zip(batch.items(), near, strict=True):
            agreed, weights = self._agreement(cases[name], image, mask)
            out.append(
                Measured(
                    case=name,
                    image_sha256=samples[name].image_sha256,
                    mask_sha256=samples[name].mask_sha256,
                    weights_sha256=weights,
                    checks=(*self.examiner.look(piece, copied=self.target.manifest.masks == COPY), copied),
                    distance=copied.number or 0.0,
                    share=piece.labelled_share,
                    agreement=agreed,
                )
            )
        return out

    def _agreement(self, case: Case, image: Volume, mask: Volume) -> tuple[Agreed | None, str | None]:
        """Ask the judge about a sample and write its voxel weights; both None where there is no judge."""
        place = weights_of(self.target.path, case)
        found: Agreement | None = None
        if self.judge and "agreement" in self.settings.checks:
            found = self.judge.agreement(image, mask.array)
        if found is None or found.weights is None:
            place.unlink(missing_ok=True)
            return (Agreed.of(found) if found else None), None
        write_mask(place, found.weights, mask)
        return Agreed.of(found), file_sha256(place)


def _named(check: Check, names: Sequence[str]) -> Check:
    """Return a check of duplicates with the name of the other sample."""
    start, _, number = check.reason.partition(" with sample ")
    if not number:
        return check
    other = names[int(number.partition(" ")[0])]
    return check.model_copy(update={"reason": f"{start} with {other}"})
