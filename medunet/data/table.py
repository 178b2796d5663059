"""The card's table of facts about cases: a CSV or TSV as a spreadsheet writes it, anywhere in the world."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from medunet.config.attributes import Value
from medunet.data.cases import Case
from medunet.errors import DataError

UNKNOWN = {"", "n/a", "na", "nan", "unknown"}  # BIDS says n/a
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?")
SHOWN = 3  # names in an error

Known = dict[str, Value]


def read_table(path: Path) -> dict[str, Known]:
    """Return the rows of a CSV or TSV by their first column; a column of numbers only holds numbers.

    A CSV may be cut by semicolons; there and in a TSV numbers may have a decimal comma. DataError where the
    file cannot be read, or names a line or a column twice.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            mark = _delimiter(path, stream.readline())
            stream.seek(0)
            head, *rows = csv.reader(stream, delimiter=mark)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path}: the card's `attributes` cannot be read ({error}). Expected a CSV or TSV, one line a "
            "case or patient; put it there, or take the key out of the card."
        ) from None
    columns, rows = [name.strip() for name in head[1:]], [row for row in rows if any(map(str.strip, row))]
    _check_once(path, "column", [name for name in columns if name])
    _check_once(path, "line", [row[0].strip() for row in rows])
    found = {row[0].strip(): _said(columns, row[1:]) for row in rows}
    comma = mark != ","
    numbers = {
        name
        for name in columns
        if all(_plain(said[name], comma) is not None for said in found.values() if name in said)
    }
    return {key: {n: _typed(t, n in numbers, comma) for n, t in said.items()} for key, said in found.items()}


def without_line(table: dict[str, Known], cases: Iterable[Case], path: Path) -> list[str]:
    """Return the cases of which a table says nothing; DataError if that is so of all."""
    every = list(cases)
    missing = [case.id for case in every if case.id not in table and case.patient not in table]
    if every and len(missing) == len(every):
        raise DataError(
            f"{path}: no line names a case. Its first column holds {', '.join(list(table)[:SHOWN])} ..., the "
            f"cases are {', '.join(missing[:SHOWN])} .... Write the name of a case or a patient first."
        )
    return missing


def _delimiter(path: Path, head: str) -> str:
    if path.suffix == ".tsv":
        return "\t"
    return ";" if head.count(";") > head.count(",") else ","


def _check_once(path: Path, what: str, names: Sequence[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(
            f"{path}: {len(twice)} {what}s are there twice, such as {twice[0]}; expected each once. Take out "
            "those that are wrong."
        )


def _said(columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    """Return what a row says; a cell that is empty, unknown or not there says nothing."""
    pairs = zip(columns, (cell.strip() for cell in cells), strict=False)
    return {name: text for name, text in pairs if name and text.casefold() not in UNKNOWN}


def _typed(text: str, number: bool, comma: bool) -> Value:
    return float(_plain(text, comma) or "nan") if number else text


def _plain(text: str, comma: bool) -> str | None:
    """Return a number as Python writes it; None: it is none."""
    text = text.replace(",", ".") if comma and text.count(",") == 1 else text
    return text if NUMBER.fullmatch(text) else None
