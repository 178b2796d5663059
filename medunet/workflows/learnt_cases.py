"""Whom a generator knows: every case that it, and whatever it was made from, has learnt from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from medunet.config.run import RunFolder
from medunet.data.content import image_part
from medunet.errors import ConfigError
from medunet.tasks.synthesize import read_learnt
from medunet.workflows.records import check_not_retired


class Known(NamedTuple):
    """A case that was learnt from."""

    patient: str
    image: str  # data.content.image_part of the case
    labelled: bool = True
    card: str = ""  # of the data: only there a patient's name means the same person


def learnt_from(run: RunFolder, fold: int) -> Iterator[Known]:
    """Yield the training cases of a generator's fold, and those of the generator that it was tuned from."""
    for case in run.folds.training(fold):
        yield Known(run.folds.patients[case], image_part(run.folds.content[case]), card=run.card.name)
    for scan in read_learnt(run.fold(fold)).unlabelled:
        yield Known(scan.patient, scan.image, labelled=False, card=run.card.name)
    if (lora := run.generator.lora) is not None:
        base = run.other(lora.run)
        yield from learnt_from(base, base.one_trained())


def check_base(run: RunFolder, fold: int, base: RunFolder) -> None:
    """Raise a ConfigError if the generator that is to be tuned has seen a case that this fold holds out.

    By image or, in data of the same card, by patient. The base must not have learnt from one who has left.
    """
    check_not_retired(base.fold(base.one_trained()))
    folds = run.folds
    images = {image_part(folds.content[case]): case for case in folds.validation[fold]}
    patients = {folds.patients[case]: case for case in folds.validation[fold]}
    seen: set[str] = set()
    for known in learnt_from(base, base.one_trained()):
        same = patients.get(known.patient) if known.card == run.card.name else None
        seen |= {case for case in (images.get(known.image), same) if case is not None}
    if seen:
        raise ConfigError(
            f"lora.run: {base.path} has learnt from {len(seen)} cases that fold {fold} holds out, such as "
            f"{min(seen)}. Tune a generator that was trained on the same fold, or on other data."
        )
