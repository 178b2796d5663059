"""The page on a generator: adherence, sheets of real and synthetic scans, and how alike they are."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from medunet.io.picture import encode_png
from medunet.io.write import write_atomic
from medunet.workflows.canvas import Picture, above, beside
from medunet.workflows.page import render
from medunet.workflows.sheet import panels
from medunet.workflows.twins import Twins

CASES = 12  # on a sheet
SHEETS = 2
LARGE = 1000  # no decimals from here on


def write_generator_report(
    path: Path, result: Mapping[str, Any], twins: Twins, spacing_mm: Sequence[float], card: Any
) -> None:
    """Write the report of a generator whose numbers are `result`."""
    shown = np.linspace(0, len(twins.cases) - 1, min(len(twins.cases), CASES * SHEETS)).astype(int).tolist()
    parts = [shown[i : i + CASES] for i in range(0, len(shown), CASES)]
    content = {
        "result": result,
        "card": card,
        "dims": card.dims,
        "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "sheets": [
            {"title": f"Held-out cases, part {number}", "png": _png(twin_sheet(twins, part, spacing_mm))}
            for number, part in enumerate(parts, 1)
        ],
        "adherence": {
            k: v for k, v in result["adherence"].items() if k != "reads" and v["ratio"] is not None
        },
        "measures": _measures(result["quality"]),
    }
    with write_atomic(path) as temporary:
        temporary.write_text(render("generator_report.html.j2", content), encoding="utf-8")


def twin_sheet(twins: Twins, chosen: Sequence[int], spacing_mm: Sequence[float]) -> Picture:
    """Return a sheet of cases, two a row: real, real with mask, synthetic, synthetic with mask."""
    cells = []
    for index in chosen:
        real, synthetic, mask = twins.real[index], twins.synthetic[index], twins.masks[index]
        drawn = [*panels(real, mask, spacing_mm), *panels(synthetic, mask, spacing_mm, like=real)]
        cells.append(beside(drawn, 4))
    return above([beside(cells[i : i + 2], 24) for i in range(0, len(cells), 2)], 8)


def _png(picture: Picture) -> str:
    return base64.b64encode(encode_png(picture)).decode("ascii")


def _measures(quality: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the measures, each with how to read it and its rows of (what, value)."""
    return [
        {"name": name.replace("_", " "), "meaning": found["reads"], "rows": _rows(found)}
        for name, found in quality.items()
        if isinstance(found, Mapping)
    ]


def _rows(found: Mapping[str, Any], where: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Return (what, value with its interval) of all that is in a measure, however deep."""
    rows: list[tuple[str, str]] = []
    for key, value in found.items():
        if key == "reads" or key.endswith("ci95"):
            continue
        here = where if key == "regions" else (*where, key.replace("_", " "))
        if isinstance(value, Mapping):
            rows += _rows(value, here)
        else:
            interval = found.get(f"{key}_ci95") or (None if rows else found.get("ci95"))
            rows.append((", ".join(here), _text(value, interval)))
    return rows


def _text(value: Any, interval: Any = None) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_text, value, interval or [None] * len(value)))
    if value is None:
        return "not measured"
    return f"{_number(value)} [{', '.join(map(_number, interval))}]" if interval else _number(value)


def _number(value: Any) -> str:
    whole = not isinstance(value, float) or abs(value) >= LARGE
    return f"{value:.0f}" if whole else f"{value:.3g}"
