"""compare: is one run better than another on the same held-out cases? Paired, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.box import SIMPLE
from rich.table import Table

from medunet.errors import ConfigError
from medunet.metrics.paired import holm, paired_difference
from medunet.workflows.origin import versions
from medunet.workflows.paired_scores import Paired, paired, steps_of
from medunet.workflows.progress import console, say

ALL = "all labels"  # their mean
HEAD = (
    "arm",
    "label",
    "mean",
    "against",
    "difference",
    "95 % interval",
    "p",
    "p (Holm)",
    "patients",
    "seeds",
)
Row = dict[str, Any]


def compare(arms: Mapping[str, Sequence[Path]], *, measure: str = "dice") -> dict[str, Any]:
    """Return the paired differences of every arm to the first, per label and over all, and print them.

    arms: name -> runs that differ in their seed only, as many in each arm. ConfigError, DataError: an arm
    has no evaluation, or the cases differ.
    """
    _check(arms)
    table = paired(arms, measure)
    baseline, *others = arms
    rows = [
        row
        for arm in others
        for row in (
            *(_row(table, arm, baseline, label) for label in table.labels),
            _row(table, arm, baseline),
        )
    ]
    _adjust([row for row in rows if row["label"] != ALL])
    _adjust([row for row in rows if row["label"] == ALL])
    notes = _notes(arms, table)
    result = {
        "measure": measure,
        "baseline": baseline,
        "arms": {arm: [str(run) for run in runs] for arm, runs in arms.items()},
        "cases": table.cases,
        "patients": len(table.patients),
        "left_out": table.left_out,
        "comparisons": rows,
        "notes": notes,
        "versions": versions(),
    }
    console.print(_terminal(rows))
    for note in notes:
        say(note)
    return result


def markdown(result: Mapping[str, Any]) -> str:
    """Return a comparison as a Markdown table with its notes."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
    lines += [f"| {' | '.join(_words(row))} |" for row in result["comparisons"]]
    about = (
        f"{result['measure']} on {result['cases']} held-out cases of {result['patients']} patients, "
        "paired over patients and seeds. Holm: over labels; the mean over labels: over arms."
    )
    return "\n".join([about, "", *lines, "", *(f"- {note}" for note in result["notes"])]).rstrip() + "\n"


def arms_of(runs: Sequence[Path], named: Sequence[str]) -> dict[str, list[Path]]:
    """Return the arms that a command line names: each run one, or `NAME=RUN,RUN,RUN` each."""
    if runs and named:
        raise ConfigError("compare: give runs, or --arm NAME=RUN,RUN for each arm; not both.")
    arms: dict[str, list[Path]] = {}
    for text in named:
        name, separator, places = text.partition("=")
        if not separator or not name or not places or name in arms:
            raise ConfigError(f"--arm {text}: expected NAME=RUN,RUN with a name of its own.")
        arms[name] = [Path(place) for place in places.split(",")]
    for run in runs:
        where = run.resolve()
        name = f"{where.parent.name}/{where.name}" if where.name.startswith("fold_") else where.name
        arms[name if name not in arms else str(run)] = [run]
    return arms


def _check(arms: Mapping[str, Sequence[Path]]) -> None:
    if len(arms) < 2:
        raise ConfigError(
            f"compare: found {len(arms)} arm(s), expected two or more: the first is the baseline."
        )
    if len({len(runs) for runs in arms.values()}) > 1:
        counts = ", ".join(f"{arm} {len(runs)}" for arm, runs in arms.items())
        raise ConfigError(
            f"compare: runs per arm: {counts}; expected as many seeds in each. Train the missing."
        )


def _row(table: Paired, arm: str, baseline: str, label: str = ALL) -> Row:
    a, b = (table.overall(name) if label == ALL else table.arms[name][label] for name in (arm, baseline))
    found = paired_difference(a, b).as_json()
    means = {"arm_mean": _mean(a), "baseline_mean": _mean(b)}
    return {"arm": arm, "against": baseline, "label": label, **means, **found, "p_holm": None}


def _mean(values: NDArray[np.float64]) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))


def _adjust(rows: Sequence[Row]) -> None:
    known = [row for row in rows if row["p_value"] is not None]
    for row, p_value in zip(known, holm([row["p_value"] for row in known]), strict=True):
        row["p_holm"] = p_value


def _notes(arms: Mapping[str, Sequence[Path]], table: Paired) -> list[str]:
    notes = [
        f"{label}: {count} of {table.cases} cases are left out, as a run has nothing to score there."
        for label, count in table.left_out.items()
        if count
    ]
    steps = {arm: sorted({steps_of(run) for run in runs}, key=str) for arm, runs in arms.items()}
    if len({tuple(found) for found in steps.values()}) > 1:
        told = "; ".join(f"{arm} {', '.join(map(str, found))}" for arm, found in steps.items())
        notes.append(f"The arms were not trained for the same number of steps: {told}.")
    if len(next(iter(arms.values()))) == 1:
        notes.append("One run per arm: the intervals say nothing about another seed.")
    return notes


def _terminal(rows: Sequence[Row]) -> Table:
    """Return what fits a narrow terminal; all columns are in the Markdown."""
    table = Table("arm", "label", "mean", "difference, 95 % interval", "p (Holm)", box=SIMPLE)
    for row in rows:
        arm, label, mean, _, difference, interval, _, p_holm, *_ = _words(row)
        table.add_row(arm, label, mean, f"{difference}  {interval}", p_holm)
    return table


def _words(row: Row) -> list[str]:
    interval = "" if row["ci95"] is None else f"{row['ci95'][0]:+.4f} to {row['ci95'][1]:+.4f}"
    numbers = [
        _number(row["mean"], "+.4f"),
        interval,
        _number(row["p_value"], ".4f"),
        _number(row["p_holm"], ".4f"),
    ]
    against = f"{row['against']} {_number(row['baseline_mean'], '.4f')}"
    counts = [str(row["n_patients"]), str(row["n_seeds"])]
    return [row["arm"], row["label"], _number(row["arm_mean"], ".4f"), against, *numbers, *counts]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"
