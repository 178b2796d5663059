"""Which cases a run may be scored on: never one that the network has learnt from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medunet.config.card import Card
from medunet.config.run import RunFolder
from medunet.data.cases import Case, find_cases
from medunet.data.content import content_of, image_part
from medunet.errors import DataError, MedunetError
from medunet.workflows.progress import progress
from medunet.workflows.scoring import Line


@dataclass(frozen=True)
class Batch:
    """Cases to be predicted by the networks of these folds together."""

    folds: tuple[int, ...]
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Choice:
    """What is scored, what could not be, and what must not be."""

    batches: tuple[Batch, ...]
    failed: tuple[Line, ...]
    left_out: tuple[Line, ...]


def held_out(
    run: RunFolder, folds: Sequence[int], data: Path | None = None, card: Card | None = None
) -> Choice:
    """Return the held-out cases.

    Training data (`data` not given, or the same folder): each fold's validation cases, for that fold's
    network alone. Another folder: all its labelled cases, for all folds together, but for those that any of
    the folds was trained on; they are known again by content, whatever their names are.
    """
    home = Path(run.origin["data"])
    if data is None or data.resolve() == home.resolve():
        return _validation_cases(run, folds, home)
    return _other_cases(run, folds, data, card or run.card)


def _validation_cases(run: RunFolder, folds: Sequence[int], home: Path) -> Choice:
    if not home.is_dir():
        raise DataError(
            f"{home}: the training data of {run.path} is not there any more. Give its place with --data."
        )
    there = {case.id: case for case in find_cases(run.card, home).cases}
    batches, failed, left_out = [], [], []
    for fold in folds:
        trained = _trained_on(run, [fold])
        kept = []
        for name in run.folds.validation[fold]:
            if twin := trained.get(image_part(run.folds.content.get(name, ""))):
                left_out.append(
                    _line(name, f"has the same image as {twin}, which fold {fold} was trained on")
                )
            elif name not in there:
                failed.append(_line(name, f"image or mask is not in {home} any more; put them back"))
            else:
                kept.append(there[name])
        batches.append(Batch((fold,), tuple(kept)))
    return Choice(tuple(batches), tuple(failed), tuple(left_out))


def _other_cases(run: RunFolder, folds: Sequence[int], data: Path, card: Card) -> Choice:
    found = find_cases(card, data)
    trained = _trained_on(run, folds)
    kept, failed = [], []
    left_out = [_line(*_split(problem)) for problem in found.problems]
    with progress("Comparing with the training cases", len(found.cases)) as bar:
        for case in found.cases:
            try:
                twin = trained.get(image_part(content_of(case)))
            except (MedunetError, OSError) as error:
                failed.append(_line(case.id, str(error)))
            else:
                if twin:
                    left_out.append(_line(case.id, f"was trained on (as {twin})"))
                else:
                    kept.append(case)
            bar.advance()
    return Choice((Batch(tuple(folds), tuple(kept)),), tuple(failed), tuple(left_out))


def _trained_on(run: RunFolder, folds: Sequence[int]) -> dict[str, str]:
    """Return image content -> case of all cases that any of the folds was trained on."""
    never = set.intersection(*(set(run.folds.validation[fold]) for fold in folds))
    return {image_part(content): case for case, content in run.folds.content.items() if case not in never}


def _split(problem: str) -> tuple[str, str]:
    place, _, reason = problem.partition(": ")
    return Path(place).name, reason


def _line(case: str, reason: str) -> Line:
    return {"case": case, "reason": reason}
