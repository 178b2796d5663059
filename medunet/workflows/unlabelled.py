"""Scans that a generator learns from without their mask: those that have none, and those of further patients.

Their mask is "unknown" for every label, as a label is that is dropped at random in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from medunet.config.generator import Scan
from medunet.config.run import RunFolder
from medunet.data.cache import Entry, cached
from medunet.data.cases import Case
from medunet.data.content import content_of, image_part
from medunet.errors import ConfigError, DataError, MedunetError
from medunet.workflows.prepare import Survey, real_header
from medunet.workflows.progress import progress, say


@dataclass
class Unlabelled:
    """Scans without a mask, and who they are of."""

    entries: list[Entry] = field(default_factory=list)
    cases: dict[str, Case] = field(default_factory=dict)
    scans: tuple[Scan, ...] = ()

    def only(self, known: Sequence[Scan]) -> Unlabelled:
        """Return the scans that a training was begun with, in their order; DataError if one is gone."""
        places = {scan: number for number, scan in enumerate(self.scans)}
        if gone := [scan.case for scan in known if scan not in places]:
            raise DataError(
                f"{len(gone)} scans without a mask that this training was begun with are gone or changed, "
                f"such as {gone[0]}. Put them back as they were, or train anew under another --name."
            )
        if further := len(self.scans) - len(known):
            say(f"{further} scans without a mask came later: this training goes on without them.")
        entries = [self.entries[places[scan]] for scan in known]
        return Unlabelled(entries, {s.case: self.cases[s.case] for s in known}, tuple(known))


def unlabelled_scans(run: RunFolder, fold: int, found: Survey, cache: Path) -> Unlabelled:
    """Return the scans without a mask that a fold may learn from; none unless the recipe asks for them.

    They are the data set's scans without a mask and, where `training.patients` leaves patients out, the scans
    of these. Never one of a patient, or with an image, that the fold holds out. ConfigError for masks.
    """
    out = Unlabelled()
    if not run.generator.unlabelled:
        return out
    if run.generator.makes == "masks":
        raise ConfigError("unlabelled: a generator of masks cannot learn from scans without one.")
    held_out, folds = run.folds.validation[fold], run.folds
    patients = {folds.patients[case] for case in held_out}
    images = {image_part(content) for case, content in folds.content.items() if case not in _other(run, fold)}
    wanted = [replace(found.cases[case], mask=None) for case in _other(run, fold) if case in found.cases]
    wanted += [case for case in found.unlabelled if case.patient not in patients]
    with progress("Caching scans without a mask", len(wanted)) as bar:
        for case in wanted:
            try:
                real_header(case)
                content = content_of(case)
                if (image := image_part(content)) not in images:  # held out, or learnt from with its mask
                    out.entries.append(cached(case, found.card, run.plan, content, cache))
                    out.cases[case.id] = case
                    out.scans += (Scan(case=case.id, patient=case.patient, image=image),)
            except MedunetError as error:
                say(f"left out: {case.id}: {error}")
            bar.advance()
    say(f"{len(out.entries)} scans are learnt from without a mask.")
    return out


def _other(run: RunFolder, fold: int) -> tuple[str, ...]:
    """Return the labelled cases that the fold neither learns from nor holds out."""
    return run.folds.left_out[fold] if run.folds.left_out else ()
