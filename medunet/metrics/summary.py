"""Summarise the scores of many cases: per label and measure, with intervals over patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medunet.metrics.bootstrap import interval_of_mean, summarise
from medunet.metrics.score import CaseScore, names


def summary(
    scores: Sequence[CaseScore], patients: Sequence[str], labels: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """Return plain values ready for JSON (None, never NaN).

    `labels`: label -> measure -> {mean, median, ci95, n, patients}; `mean_dice`: the mean over labels of
    their mean Dice (labels without a scored case are left out), with `mean_dice_ci95`; `foreground_dice`:
    the summary of the Dice of all labels merged.
    """
    by_label = {
        label: {name: _column(scores, patients, label, name, seed) for name in names()} for label in labels
    }
    scored = [label for label in labels if by_label[label]["dice"]["n"]]
    means = [by_label[label]["dice"]["mean"] for label in scored]
    table = np.array([[score.labels[label].values["dice"] for label in scored] for score in scores])
    interval = interval_of_mean(table, patients, seed=seed) if scored else None
    foreground = summarise([score.foreground_dice for score in scores], patients, seed=seed)
    return {
        "labels": by_label,
        "mean_dice": float(np.mean(means)) if means else None,
        "mean_dice_ci95": list(interval) if interval else None,
        "foreground_dice": foreground.as_json(),
    }


def _column(
    scores: Sequence[CaseScore], patients: Sequence[str], label: str, name: str, seed: int
) -> dict[str, Any]:
    values = [score.labels[label].values[name] for score in scores]
    return summarise(values, patients, seed=seed).as_json()
