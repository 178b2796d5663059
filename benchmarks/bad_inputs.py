"""Compare the doctor with a manifest of broken, odd and hostile inputs.

    python benchmarks/bad_inputs.py --data ../shared/data/bad_inputs

The folder holds `manifest.csv` with the columns path and expect. Each entry is examined in a process of its
own, with a time limit; its peak memory is read when it ends. Prints a Markdown table; exit code 1 where the
doctor and the manifest disagree.

What agrees: `reject` with the status reject; `guard` (refused before it can do harm) with reject or skip;
`warn` (may load, must say so) with warn or reject; `load` with ok; `skip` with skip; all below 2 GB.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medunet.config.card import Card
from medunet.config.load import load_card
from medunet.errors import MedunetError
from medunet.workflows.doctor import examine

SECONDS = 60.0
MEMORY_GB = 2.0
AGREES = {
    "reject": {"reject"},
    "guard": {"reject", "skip"},
    "warn": {"warn", "reject"},
    "load": {"ok"},
    "skip": {"skip"},
}
PICKLE_MARKER = Path(tempfile.gettempdir()) / "PICKLE_WAS_EXECUTED"


@dataclass(frozen=True)
class Outcome:
    """What the doctor said about one entry, and what it cost."""

    status: str
    said: str
    seconds: float
    memory_gb: float


def main() -> int:
    """Examine every entry; print the table; return 1 where the doctor and the manifest disagree."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder with manifest.csv")
    parser.add_argument("--json", type=Path, help="also write the outcomes to this file")
    options = parser.parse_args()
    with (options.data / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        entries = list(csv.DictReader(stream))
    outcomes = {entry["path"]: watched(options.data / entry["path"]) for entry in entries}
    wrong = [e["path"] for e in entries if not agrees(e["expect"], outcomes[e["path"]])]
    sys.stdout.write(table(entries, outcomes))
    sys.stdout.write(
        f"\n{len(entries) - len(wrong)} of {len(entries)} agree; disagree: {', '.join(wrong) or 'none'}\n"
    )
    if PICKLE_MARKER.exists():
        wrong.append(str(PICKLE_MARKER))
        sys.stdout.write(f"{PICKLE_MARKER} exists: a pickle was executed\n")
    if options.json:
        options.json.write_text(
            json.dumps({k: vars(v) for k, v in outcomes.items()}, indent=1), encoding="utf-8"
        )
    return int(bool(wrong))


def agrees(expect: str, outcome: Outcome) -> bool:
    """Tell whether an outcome is what the manifest asks for, within the limits."""
    return outcome.status in AGREES[expect] and outcome.memory_gb <= MEMORY_GB


def watched(path: Path) -> Outcome:
    """Examine one entry in a process of its own; a crash, a hang or a signal is an outcome too."""
    start = time.monotonic()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_child, args=(path, sender))
    process.start()
    sender.close()
    answer: dict[str, Any] = {"status": "hang", "said": f"no answer after {SECONDS:.0f} s", "memory_gb": 0.0}
    if receiver.poll(SECONDS):
        try:
            answer = receiver.recv()
        except EOFError:
            answer = {"status": "crash", "said": "the process ended without an answer", "memory_gb": 0.0}
    process.join(5)
    if process.is_alive():
        process.kill()
    return Outcome(answer["status"], answer["said"], time.monotonic() - start, answer["memory_gb"])


def _child(path: Path, sender: Any) -> None:
    try:
        report = examine(path, card=_card_for(path), memory_gb=1.0)
        status: str = report.status
        told = [f"{f.kind}: {f.found}" for f in report.findings if f.severity != "note"] or [
            f"{f.kind}: {f.found}" for f in report.findings
        ]
        said = "; ".join(told)
    except MedunetError as error:
        status, said = "reject", str(error)
    except BaseException as error:  # noqa: BLE001 (a traceback is what this script looks for)
        status, said = "traceback", f"{type(error).__name__}: {error}"
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, kilobytes elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    sender.send({"status": status, "said": said, "memory_gb": peak})


def _card_for(path: Path) -> Card | None:
    """A single pair of files is checked against the labels of its card, as a user would."""
    return load_card("msd_hippocampus") if path.is_dir() and (path / "label.nii.gz").exists() else None


def table(entries: list[dict[str, str]], outcomes: dict[str, Outcome]) -> str:
    """Return the outcomes as a Markdown table."""
    lines = ["| entry | expected | doctor | agrees | s | GB | said |", "|---|---|---|---|---|---|---|"]
    for entry in entries:
        found = outcomes[entry["path"]]
        mark = "yes" if agrees(entry["expect"], found) else "**no**"
        said = found.said.replace("|", "/").replace("\n", " ")[:160]
        figures = f"{found.seconds:.1f} | {found.memory_gb:.2f}"
        lines.append(
            f"| {entry['path']} | {entry['expect']} | {found.status} | {mark} | {figures} | {said} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
