"""What the ledger says, for people and for programs; studies under their hashed ids."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run
COLUMNS = ("study", "state", "risk", "flags", "volume_ml", "seconds", "attempts", "reason")
WIDEST = 60


def row_of(task: Mapping[str, Any], *, paths: bool = False) -> dict[str, Any]:
    """Return one study of the ledger as a report names it; `paths` adds where its images lie."""
    result, request = task["result"], task["request"]
    row = {
        "study": task["name"],
        "state": task["state"],
        "priority": task["priority"],
        "attempts": task["attempts"],
        "completions": task["completions"],
        "reason": task["reason"],
        "risk": task["risk"],
        "flags": result.get("flags", []),
        "volume_ml": result.get("volume_ml", {}),
        "series": result.get("series", []),
        "series_not_taken": result.get("series_not_taken", {}),
        "warnings": result.get("warnings", []),
        "files": result.get("files", {}),
        "seconds": result.get("seconds", {}),
        "model_sha256": request["model_sha256"],
    }
    if paths:
        row["folder"] = f"{request['out']}/{task['name']}"
        row["images"] = [f"{i['folder']}/{i['files'][0]}" for i in request["images"]]
    return row


def as_cells(row: Mapping[str, Any]) -> list[str]:
    """Return a row as text, one cell a column."""
    volumes = ", ".join(f"{name} {value:g}" for name, value in row["volume_ml"].items())
    return [
        row["study"],
        row["state"],
        "" if row["risk"] is None else f"{row['risk']:.2f}",
        " ".join(flag["code"] for flag in row["flags"]),
        volumes,
        f"{sum(row['seconds'].values()):.1f}" if row["seconds"] else "",
        str(row["attempts"]),
        row["reason"],
    ]


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV; text that a spreadsheet would take for a formula gets a quote before it."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([safe(cell) for cell in as_cells(row)])
    return out.getvalue()


def safe(cell: str) -> str:
    """Return a cell that no spreadsheet runs.

    >>> safe("=HYPERLINK(1)")
    "'=HYPERLINK(1)"
    """
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as aligned text; long cells are cut."""
    lines = [list(COLUMNS), *(as_cells(row) for row in rows)]
    short = [[c if len(c) <= WIDEST else c[: WIDEST - 3] + "..." for c in line] for line in lines]
    widths = [max(map(len, column)) for column in zip(*short, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in short
    )
