"""evaluate: score a trained run on cases it has not learnt from.

Leaves cases.csv (every measure per case and label), summary.json and report.html, and on request the
predicted masks.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medunet.config.card import Card
from medunet.config.run import RunFolder
from medunet.errors import ConfigError, DataError
from medunet.io.write import write_atomic
from medunet.workflows.held_out import Choice, held_out
from medunet.workflows.origin import versions
from medunet.workflows.progress import say
from medunet.workflows.report import write_report
from medunet.workflows.scoring import Evaluation, evaluate_masks, joined, write_cases

__all__ = ["evaluate", "evaluate_masks", "write_evaluation"]


def evaluate(  # noqa: PLR0913 - the one entrance; everything after the run is a keyword
    run: RunFolder,
    *,
    data: Path | None = None,
    fold: int | None = None,
    out: Path | None = None,
    device: str | None = None,
    card: Card | None = None,
    save_masks: bool = False,
    backend: str = "torch",
) -> dict[str, Any]:
    """Return the scores of a run on held-out cases; they also lie in RUN/fold_K/evaluation or `out`.

    data: another folder of labelled cases, laid out as `card` says (default: the training card).
    fold: default all trained folds. The caller fails the command if `failed` is not empty.
    backend: torch unless another is asked for: a reported number must not depend on what is installed.
    ConfigError, DataError: nothing can be scored.
    """
    folds = _folds(run, fold)
    _check_labels(run, card)
    choice = held_out(run, folds, data, card)
    _tell(choice)
    folder = out or (run.fold(folds[0]) if len(folds) == 1 else run.path) / "evaluation"
    _check_writable(folder)
    masks = folder / "masks" if save_masks else None
    parts, how = [], []
    for batch in choice.batches:
        if batch.cases:
            segmenter = _load(run, batch.folds, device, backend)
            parts.append(evaluate_masks(segmenter.predict, batch.cases, card or run.card, save_masks=masks))
            how.append(segmenter.told)
    evaluation = (
        joined(parts, choice.failed) if parts else Evaluation(card or run.card, (), choice.failed, 0.0)
    )
    result = {
        **evaluation.result(),
        "left_out": list(choice.left_out),
        "run": str(run.path),
        "folds": list(folds),
        "data": str(data or run.origin["data"]),
        "out": str(folder),
        "backends": how,
        "command": _command(run, data, fold, out, card, backend),
        "versions": versions(),
    }
    write_evaluation(folder, result, evaluation, run)
    _tell_result(result, folder)
    return result


def write_evaluation(
    folder: Path, result: dict[str, Any], evaluation: Evaluation, run: RunFolder | None
) -> None:
    """Write cases.csv, summary.json and report.html; DataError where the folder cannot be written to."""
    write_cases(folder / "cases.csv", evaluation)
    with write_atomic(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    write_report(folder / "report.html", result, evaluation, run.origin if run else {})


def _folds(run: RunFolder, fold: int | None) -> tuple[int, ...]:
    trained = run.trained
    if not trained or (fold is not None and fold not in trained):
        wanted = "any fold" if fold is None else f"fold {fold}"
        raise ConfigError(
            f"{run.path}: no trained weights for {wanted}; "
            f"trained folds: {', '.join(map(str, trained)) or 'none'}. Train it, or name a trained fold."
        )
    return trained if fold is None else (fold,)


def _check_labels(run: RunFolder, card: Card | None) -> None:
    if card is None:
        return
    of_run, of_card = ({value: label.name for value, label in c.labels.items()} for c in (run.card, card))
    if of_run != of_card:
        raise ConfigError(
            f"card {card.name}: labels are {of_card}, expected {of_run} as the run was trained. "
            "Map the stored values in the card with `mask: {values: {stored: label}}`."
        )


def _tell(choice: Choice) -> None:
    for what, lines in (("left out", choice.left_out), ("failed", choice.failed)):
        for line in lines:
            say(f"{what}: {line['case']}: {line['reason']}")
    if not choice.failed and not any(batch.cases for batch in choice.batches):
        reasons = "; ".join(f"{line['case']} {line['reason']}" for line in choice.left_out[:3])
        raise DataError(
            f"no case is left to score, {len(choice.left_out)} left out: "
            f"{reasons or 'the fold holds out no case'}. "
            "Score one fold with --fold, or give other data with --data."
        )


def _tell_result(result: dict[str, Any], folder: Path) -> None:
    for name, measures in result["labels"].items():
        dice = measures["dice"]
        mean = "nothing to score" if dice["mean"] is None else f"Dice {dice['mean']:.3f}"
        interval = f" [{dice['ci95'][0]:.3f}, {dice['ci95'][1]:.3f}]" if dice["ci95"] else ""
        say(f"{name}: {mean}{interval}  ({dice['n']} cases, {dice['patients']} patients)")
    say(f"report: {folder / 'report.html'}")


def _check_writable(folder: Path) -> None:
    """Fail before the work, not after it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written to ({error.strerror}). Name another folder with --out."
        ) from None


def _load(run: RunFolder, folds: Sequence[int], device: str | None, backend: str) -> Any:
    from medunet.tasks.segment import Segmenter  # torch is loaded only when a network has to run

    return Segmenter.load(run, device=device, folds=folds, backend=backend)


def _command(
    run: RunFolder,
    data: Path | None,
    fold: int | None,
    out: Path | None,
    card: Card | None,
    backend: str,
) -> str:
    words = ["medunet", "evaluate", str(run.path)]
    for option, value in (
        ("--data", data),
        ("--card", card and card.name),
        ("--fold", fold),
        ("--out", out),
        ("--backend", None if backend == "torch" else backend),
    ):
        words += [] if value is None else [option, str(value)]
    return shlex.join(words)
