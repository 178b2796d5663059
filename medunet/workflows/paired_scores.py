"""The tables of several evaluations brought together: the same cases, the same truth, patient by patient."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medunet.config.run import RunFolder
from medunet.errors import ConfigError, DataError
from medunet.metrics.score import names

SHOWN = 5  # cases that a message names
Key = tuple[str, str]  # case, label


@dataclass(frozen=True)
class Scores:
    """One evaluation's table, for one measure."""

    where: Path
    labels: tuple[str, ...]
    patients: dict[str, str]  # case -> patient
    values: dict[Key, float]  # NaN: nothing to score
    truth_voxels: dict[Key, int]


def evaluation_of(run: Path) -> Path:
    """Return where a run, or one of its folds, was evaluated; ConfigError if it was not."""
    places = [run, run / "evaluation"]
    if (run / "config.yaml").is_file():
        folds = RunFolder.open(run).trained
        places = [(run / f"fold_{folds[0]}" if len(folds) == 1 else run) / "evaluation"]
    found = next((place for place in places if (place / "cases.csv").is_file()), None)
    if found is None:
        raise ConfigError(f"{run}: no evaluation/cases.csv. Run `medunet evaluate {run}` first.")
    return found


def read_scores(run: Path, measure: str = "dice") -> Scores:
    """Return an evaluation's table; ConfigError for a measure that it has not."""
    folder = evaluation_of(run)
    with (folder / "cases.csv").open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    if measure not in names() or not lines or measure not in lines[0]:
        raise ConfigError(
            f"{folder / 'cases.csv'}: no column {measure!r} or no case; measures: {', '.join(names())}."
        )
    return Scores(
        folder,
        tuple(dict.fromkeys(line["label"] for line in lines)),
        {line["case"]: line["patient"] for line in lines},
        {(line["case"], line["label"]): float(line[measure] or "nan") for line in lines},
        {(line["case"], line["label"]): int(line["truth_voxels"]) for line in lines},
    )


def check_same_cases(scores: Sequence[Scores]) -> None:
    """Raise a DataError unless all evaluations scored the same cases and labels against the same masks."""
    first = scores[0]
    for other in scores[1:]:
        if differs := sorted(set(first.values) ^ set(other.values)):
            cases = sorted({case for case, _ in differs})
            raise DataError(
                f"{other.where}: {len(cases)} cases or their labels differ from {first.where} "
                f"({', '.join(cases[:SHOWN])}{' ...' * (len(cases) > SHOWN)}); expected the same held-out "
                "cases. Evaluate both runs on the same data, with the same fold."
            )
        if changed := sorted(key for key, n in first.truth_voxels.items() if other.truth_voxels[key] != n):
            raise DataError(
                f"{other.where}: {changed[0][0]}, label {changed[0][1]}: the true mask is not the one of "
                f"{first.where}. Evaluate both runs again."
            )


@dataclass(frozen=True)
class Paired:
    """The scores of arms with equal numbers of runs, per patient: values (runs, patients)."""

    labels: tuple[str, ...]
    patients: tuple[str, ...]
    cases: int
    arms: dict[str, dict[str, NDArray[np.float64]]]  # arm -> label -> (runs, patients)
    left_out: dict[str, int]  # label -> cases in which a run has nothing to score

    def overall(self, arm: str) -> NDArray[np.float64]:
        """Return the mean over labels (runs, patients); a label that a patient has not is not counted."""
        table = np.stack([self.arms[arm][label] for label in self.labels])
        known = ~np.isnan(table)
        total = np.where(known, table, 0.0).sum(0)
        return np.divide(total, known.sum(0), out=np.full_like(total, np.nan), where=known.any(0))


def paired(arms: Mapping[str, Sequence[Path]], measure: str = "dice") -> Paired:
    """Return the scores of each arm's runs on the same cases, averaged over each patient's cases.

    Where a case has no such label, Dice is 0 for a run that finds one and 1 for a run that rightly finds
    none, if any run does find one. Otherwise a case in which any run has nothing to score for a label is left
    out for that label in every run: a mean over other cases would not be paired.
    """
    read = {arm: [read_scores(run, measure) for run in runs] for arm, runs in arms.items()}
    every = [scores for found in read.values() for scores in found]
    check_same_cases(every)
    first = every[0]
    if measure == "dice":
        _count_false_alarms(every)
    patients = tuple(sorted(set(first.patients.values())))
    kept = {
        label: [case for case in first.patients if not any(np.isnan(s.values[case, label]) for s in every)]
        for label in first.labels
    }

    def table(found: Sequence[Scores], label: str) -> NDArray[np.float64]:
        return np.array([[_mean(one, who, kept[label], label) for who in patients] for one in found])

    return Paired(
        first.labels,
        patients,
        len(first.patients),
        {arm: {label: table(found, label) for label in first.labels} for arm, found in read.items()},
        {label: len(first.patients) - len(cases) for label, cases in kept.items()},
    )


def steps_of(run: Path) -> int | None:
    """Return how many steps a run was trained for; None where that is not known."""
    folder = evaluation_of(run)
    places = sorted({*folder.parent.glob("fold.json"), *folder.parent.glob("fold_*/fold.json")})
    steps = [json.loads(place.read_text(encoding="utf-8")).get("steps") for place in places]
    return None if not steps or None in steps else sum(steps)


def _count_false_alarms(every: Sequence[Scores]) -> None:
    """Put 1 where a run finds nothing, as the mask says, and another run finds something (Dice 0)."""
    for key in every[0].values:
        found = [scores.values[key] for scores in every]
        if every[0].truth_voxels[key] == 0 and not np.isnan(found).all():
            for scores in every:
                if np.isnan(scores.values[key]):
                    scores.values[key] = 1.0


def _mean(scores: Scores, patient: str, cases: Sequence[str], label: str) -> float:
    values = [scores.values[case, label] for case in cases if scores.patients[case] == patient]
    return float(np.mean(values)) if values else float("nan")
