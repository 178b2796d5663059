"""What became of the files of a de-identification: a report for all, a secret table for the owner."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

from medunet.io.deid.keys import study_key
from medunet.io.deid.one_file import Outcome

FACES = (
    "{} series are of the head: a face can be rebuilt from them, whatever the header says. "
    "Remove faces (defacing) before the data leave your hands."
)
TWICE = "another file with the same SOPInstanceUID, but other content, was written at the same moment"


class Tally:
    """What became of the files so far."""

    def __init__(self, key: bytes, *, keep_originals: bool) -> None:
        """Start with none; keep_originals gathers what the table needs."""
        self.key, self.keep_originals = key, keep_originals
        self.counts: Counter[str] = Counter()
        self.left: dict[str, list[dict[str, str]]] = {"quarantined": [], "failed": []}
        self.names: dict[str, str] = {}
        self.heads: set[str] = set()
        self.labels: set[str] = set()
        self.rows: dict[tuple[str, str, str], None] = {}

    def add(self, path: Path, outcome: Outcome) -> None:
        """Count an outcome; two processes may have written one name at the same moment."""
        state, reason = outcome.state, outcome.reason
        if state == "written" and outcome.name in self.names:
            same = self.names[outcome.name] == outcome.sha256
            state, reason = ("unchanged", "") if same else ("failed", TWICE)
        self.counts[state] += 1
        if state in self.left:
            file = study_key(self.key, str(path.resolve()))
            whose = {"patient": outcome.patient, "series": outcome.series}
            self.left[state].append({"file": file, **whose, "reason": reason})
        if state in ("written", "unchanged"):
            self.names[outcome.name] = outcome.sha256
            self.labels.update(outcome.labels)
            if outcome.head:
                self.heads.add(outcome.name.rsplit("/", 1)[0])
        if self.keep_originals:
            file = study_key(self.key, str(path.resolve()))
            self.rows |= dict.fromkeys([("file", str(path), outcome.name or f"{file} {state}: {reason}")])
            self.rows |= dict.fromkeys(outcome.originals)

    def report(self) -> dict[str, Any]:
        """Return the report, without identity."""
        folders = [name.split("/") for name in self.names]
        states = ("written", "unchanged", "quarantined", "failed", "skipped")
        return {
            "counts": {state: self.counts[state] for state in states},
            "patients": len({parts[0] for parts in folders}),
            "studies": len({tuple(parts[:2]) for parts in folders}),
            "series": len({tuple(parts[:3]) for parts in folders}),
            "warnings": [FACES.format(len(self.heads))] if self.heads else [],
            "labels": sorted(self.labels),
            **self.left,
        }

    def table(self) -> str:
        """Return the table old -> new as CSV; a spreadsheet must not take a cell for a formula."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(("kind", "original", "new"))
        rows.writerows([_harmless(cell) for cell in row] for row in self.rows)
        return text.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
