"""The report of a dose-response: a table, a plot and the recommendation, as Markdown and SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medunet.io.write import write_atomic
from medunet.workflows.dose_plot import means_of, plot
from medunet.workflows.dose_verdict import ratios_used

Result = Mapping[str, Any]


def write_report(folder: Path, result: Result) -> None:
    """Write dose_response.md and dose_response.svg."""
    for name, text in (("md", markdown(result)), ("svg", plot(result["rows"]))):
        with write_atomic(folder / f"dose_response.{name}") as temporary:
            temporary.write_text(text, encoding="utf-8")


def markdown(result: Result) -> str:
    """Return the report: recommendation first, then what it rests on, then what failed."""
    lines = [f"# Dose-response of {result['recipe']}", ""]
    lines += [f"- {_advice(one)}" for one in result["recommendation"]]
    lines += ["", "![Dice by ratio, per number of patients](dose_response.svg)", ""]
    lines += [
        f"Every training: {result['budget']}, the same batch, seeds {_list(result['grid']['seeds'])}, fold "
        f"{result['grid']['fold']}; all are scored on the same held-out patients. Differences are to "
        "`strong` with as many real patients, paired over patients and seeds; Holm within an arm. All seeds "
        "share one generator and its samples: how much another would differ is not in the interval. The "
        "gate's yardstick, how well a segmenter does on real cases, is read off the same held-out patients.",
        "",
        "| real patients | arm | synthetic per real | Dice | difference | 95 % interval | p (Holm) | seeds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    compared = {(c["patients"], c["arm"], c["ratio"]): c for c in result["comparisons"]}
    ratios = ratios_used(result["rows"])
    for key, dice in means_of(result["rows"]).items():
        lines.append(f"| {' | '.join(_cells(key, dice, ratios.get(key), compared.get(key)))} |")
    lines += ["", f"Ended: {result['ending']}."]
    lines += [
        f"- failed: n {_many(row['patients'])}, {row['arm']}, ratio {row['ratio']:g}, seed {row['seed']}: "
        f"{row['failed']}"
        for row in result["failed"]
    ]
    return "\n".join(lines) + "\n"


def _advice(one: Result) -> str:
    many = "all real patients" if one["patients"] is None else f"{one['patients']} real patients"
    if one["use"]:
        return f"**With {many}: use synthetic data at ratio {one['ratio']:g}.** {one['reason']}."
    return f"**With {many}: do not use synthetic data.** {one['reason'][:1].upper()}{one['reason'][1:]}."


def _ratio(ratio: float, used: float | None) -> str:
    if not ratio:
        return "none"
    return f"{ratio:g}" if used is None or used > 0.95 * ratio else f"{used:.2g} (of {ratio:g})"


def _cells(
    key: tuple[Any, str, float], dice: Sequence[float], used: float | None, found: Result | None
) -> list[str]:
    patients, arm, ratio = key
    cells = [_many(patients), arm, _ratio(ratio, used), f"{np.mean(dice):.4f}"]
    if found is None or found["mean"] is None:
        return [*cells, "", "", "", str(len(dice))]
    interval = found["ci95"]
    return [
        *cells,
        f"{found['mean']:+.4f}",
        "" if interval is None else f"{interval[0]:+.4f} to {interval[1]:+.4f}",
        "" if found["p_holm"] is None else f"{found['p_holm']:.4f}",
        str(found["n_seeds"]),
    ]


def _many(patients: int | None) -> str:
    return "all" if patients is None else str(patients)


def _list(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))
