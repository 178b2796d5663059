"""The HTML report of an evaluation: one file that opens anywhere, without a network."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from medunet.data.fingerprint import read_pair
from medunet.io.picture import encode_png
from medunet.io.write import write_atomic
from medunet.metrics.score import LabelScore, measure_of, names
from medunet.workflows.overlay import overlay
from medunet.workflows.page import render
from medunet.workflows.scoring import Evaluation, Scored
from medunet.workflows.strip_plot import Row, strip_plot

PLOTTED = ("dice", "nsd", "hd95_mm", "volume_error_ml")
FEW_PATIENTS = 10  # below, a percentile interval tends to be too narrow
NONE = "\u2013"
MOST_LINES = 3000  # of the table of cases; the rest is in cases.csv


@dataclass(frozen=True)
class Unit:
    """How a measure is shown."""

    title: str
    suffix: str
    factor: float
    places: int
    signed: bool = False

    def text(self, value: float | None) -> str:
        """Return a value as people read it, or a dash."""
        if value is None or math.isnan(value):
            return NONE
        shown = round(value * self.factor, self.places) + 0.0  # + 0.0: no minus before a zero
        sign = "+" if self.signed and shown else ""
        return f"{shown:{sign},.{self.places}f}".replace("-", "\u2212")


def unit_of(name: str, *, dims: int, distance_unit: str) -> Unit:
    """Return how a measure is shown: in 2D ml become areas; mm become pixels of unknown size."""
    short = "px" if distance_unit == "pixels" else "mm"
    title, signed = measure_of(name).TITLE, measure_of(name).BETTER == "zero"
    if name.endswith("_mm"):
        return Unit(title, short, 1.0, 2, signed)
    if name.endswith("_ml") and dims == 3:
        return Unit(title, "ml", 1.0, 3, signed)
    if name.endswith("_ml"):
        return Unit(title.replace("Volume", "Area").replace("volume", "area"), f"{short}²", 1000.0, 0, signed)
    return Unit(title, "", 1.0, 3, signed)


def write_report(
    path: Path, result: Mapping[str, Any], evaluation: Evaluation, origin: Mapping[str, Any] | None = None
) -> None:
    """Write the report of `evaluation`, whose numbers are `result`; origin: the content of run.json."""
    text = render("report.html.j2", _content(result, evaluation, origin or {}))
    with write_atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _content(result: Mapping[str, Any], evaluation: Evaluation, origin: Mapping[str, Any]) -> dict[str, Any]:
    card = evaluation.card
    units = {n: unit_of(n, dims=card.dims, distance_unit=evaluation.distance_unit) for n in names()}
    return {
        "result": result,
        "card": card,
        "dims": card.dims,
        "units": units,
        "tolerance": f"{card.tolerance_mm:g} {units['hd95_mm'].suffix}",
        "labels": [_label(name, result["labels"][name], units, evaluation) for name in card.label_names],
        "overall": [
            _headline("Mean over labels", result["mean_dice"], result["mean_dice_ci95"]),
            _headline("All labels merged", *(result["foreground_dice"][key] for key in ("mean", "ci95"))),
        ],
        "plots": [(units[n], Markup(_plot(n, units[n], result, evaluation))) for n in PLOTTED],
        "pictures": _pictures(evaluation, units),
        "lines": _lines(evaluation, units)[:MOST_LINES],
        "all_lines": len(evaluation.scored) * len(card.labels),
        "few": 2 <= result["patients"] < FEW_PATIENTS,
        "origin": _flat(origin),
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _headline(title: str, mean: float | None, ci95: list[float] | None) -> dict[str, str]:
    return {"title": title, "mean": NONE if mean is None else f"{mean:.3f}", "interval": interval_text(ci95)}


def interval_text(ci95: list[float] | None, unit: Unit | None = None) -> str:
    """Return a 95 % interval in words, or why there is none."""
    if ci95 is None:
        return "no interval: fewer than 2 patients"
    shown = unit or Unit("", "", 1.0, 3)
    between = "\u2009\u2013\u2009" if unit else " to "
    return f"{shown.text(ci95[0])}{between}{shown.text(ci95[1])}"


def _label(
    name: str, measures: Mapping[str, Any], units: Mapping[str, Unit], evaluation: Evaluation
) -> dict[str, Any]:
    found = [one.score.labels[name] for one in evaluation.scored]
    cells = [
        {
            "mean": unit.text(measures[measure]["mean"]),
            "interval": interval_text(measures[measure]["ci95"], unit) if measures[measure]["ci95"] else NONE,
            "median": unit.text(measures[measure]["median"]),
        }
        for measure, unit in units.items()
    ]
    dice = measures["dice"]
    return {
        "name": name,
        "headline": _headline(name, dice["mean"], dice["ci95"]),
        "median": units["dice"].text(dice["median"]),
        "hd95": f"{units['hd95_mm'].text(measures['hd95_mm']['median'])} {units['hd95_mm'].suffix}",
        "cells": cells,
        "n": dice["n"],
        "patients": dice["patients"],
        "missed": sum(one.truth_voxels > 0 and one.predicted_voxels == 0 for one in found),
        "invented": sum(one.truth_voxels == 0 and one.predicted_voxels > 0 for one in found),
    }


def _plot(name: str, unit: Unit, result: Mapping[str, Any], evaluation: Evaluation) -> str:
    rows = []
    for label in evaluation.card.label_names:
        numbers = result["labels"][label][name]
        pairs = [(one.case.id, one.score.labels[label].values[name]) for one in evaluation.scored]
        kept = [(case, value) for case, value in pairs if not math.isnan(value)]
        rows.append(
            Row(
                label,
                [value * unit.factor for _, value in kept],
                [f"{case}: {unit.text(value)} {unit.suffix}".strip() for case, value in kept],
                None if numbers["mean"] is None else numbers["mean"] * unit.factor,
                [value * unit.factor for value in numbers["ci95"]] if numbers["ci95"] else None,
            )
        )
    if name in ("dice", "nsd"):
        return strip_plot(rows, low=0.0, high=1.0)
    return strip_plot(rows, low=None if unit.signed else 0.0)


def _pictures(evaluation: Evaluation, units: Mapping[str, Unit]) -> list[dict[str, Any]]:
    """Return the worst, the median and the best case by mean Dice over the labels it has."""
    ranked = [one for one in evaluation.scored if not math.isnan(one.mean_dice)]
    ranked.sort(key=lambda one: (one.mean_dice, one.case.id))
    if not ranked:
        return []
    places = {0: "Worst", len(ranked) // 2: "Median", len(ranked) - 1: "Best"}
    if len(ranked) < 3:
        places = {0: "Worst", len(ranked) - 1: "Best"} if len(ranked) == 2 else {0: "The only case"}
    return [
        {
            "rank": words,
            "case": ranked[index].case,
            "dice": units["dice"].text(ranked[index].mean_dice),
            "labels": [
                (
                    label,
                    units["dice"].text(found.values["dice"]),
                    units["hd95_mm"].text(found.values["hd95_mm"]),
                )
                for label, found in ranked[index].score.labels.items()
            ],
            "png": base64.b64encode(_png(ranked[index], evaluation)).decode("ascii"),
        }
        for index, words in sorted(places.items())
    ]


def _png(one: Scored, evaluation: Evaluation) -> bytes:
    image, truth = read_pair(one.case, evaluation.card)
    return encode_png(overlay(image.array, truth.array, one.prediction, one.spacing_mm))


def _lines(evaluation: Evaluation, units: Mapping[str, Unit]) -> list[dict[str, Any]]:
    """Return one line per case and label, the lowest Dice first; cells are (text, number to sort by)."""
    rows = [(one, label, found) for one in evaluation.scored for label, found in one.score.labels.items()]
    rows.sort(key=lambda row: (math.isnan(row[2].values["dice"]), row[2].values["dice"], row[0].case.id))
    return [
        {
            "case": one.case.id,
            "patient": one.case.patient,
            "label": label,
            "cells": [_cell(found.values[name], unit) for name, unit in units.items()],
            "note": _note(found),
            "seconds": f"{one.seconds:.2f}",
        }
        for one, label, found in rows
    ]


def _cell(value: float, unit: Unit) -> tuple[str, str]:
    return unit.text(value), "" if math.isnan(value) else f"{value:.9g}"


def _note(found: LabelScore) -> str:
    if found.truth_voxels == 0 and found.predicted_voxels == 0:
        return "absent, and none drawn"
    if found.predicted_voxels == 0:
        return "missed"
    return "invented" if found.truth_voxels == 0 else ""


def _flat(origin: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is known of a run as (key, text), nested keys joined by dots."""
    out: list[tuple[str, str]] = []
    for key, value in origin.items():
        if isinstance(value, Mapping):
            out += [(f"{key}.{inner}", text) for inner, text in _flat(value)]
        elif value is not None:
            out.append((str(key), ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return out
