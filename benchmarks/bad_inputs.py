"""Compare `doctor`, or `predict` with a run, with a manifest of broken, odd and hostile inputs.

    python benchmarks/bad_inputs.py --data FOLDER
    python benchmarks/bad_inputs.py --data FOLDER --run RUN

The folder holds `manifest.csv` with the columns path and expect. Each entry is examined or predicted in a
process of its own, with a time limit; its peak memory is read when it ends. Prints a Markdown table; exit
code 1 where the verb and the manifest disagree.

What agrees: `reject` with the status reject; `guard` (refused before it can do harm) with reject or skip;
`warn` (may load, must say so) with warn or reject; `load` with ok; `skip` with skip; all below 2 GB. A
prediction reads no masks and no recipes, so of `pairs/` and `config/` it need only survive.
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
from medunet.config.run import RunFolder
from medunet.errors import MedunetError
from medunet.workflows.doctor import examine
from medunet.workflows.predict import predict

SECONDS = 60.0
MEMORY_GB = 2.0
AGREES = {
    "reject": {"reject"},
    "guard": {"reject", "skip"},
    "warn": {"warn", "reject"},
    "load": {"ok"},
    "skip": {"skip"},
    "survive": {"ok", "warn", "reject", "skip"},
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
    parser.add_argument("--run", type=Path, help="predict with this run instead of asking the doctor")
    parser.add_argument("--json", type=Path, help="also write the outcomes to this file")
    options = parser.parse_args()
    with (options.data / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        entries = list(csv.DictReader(stream))
    outcomes = {entry["path"]: watched(options.data / entry["path"], options.run) for entry in entries}
    if options.run:
        entries = [entry | {"expect": expected_of_predict(entry)} for entry in entries]
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


def expected_of_predict(entry: dict[str, str]) -> str:
    """Return what a prediction owes to an entry."""
    return "survive" if entry["path"].startswith(("pairs/", "config/")) else entry["expect"]


def watched(path: Path, run: Path | None) -> Outcome:
    """Examine or predict one entry in a process of its own; a crash, a hang or a signal is an outcome too."""
    start = time.monotonic()
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=_child, args=(path, run, sender))
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


def _child(path: Path, run: Path | None, sender: Any) -> None:
    try:
        status, said = _predicted(path, run) if run else _examined(path)
    except MedunetError as error:
        status, said = "reject", str(error)
    except BaseException as error:  # noqa: BLE001 (a traceback is what this script looks for)
        status, said = "traceback", f"{type(error).__name__}: {error}"
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss: bytes there, kilobytes elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    sender.send({"status": status, "said": said, "memory_gb": peak})


def _examined(path: Path) -> tuple[str, str]:
    report = examine(path, card=_card_for(path), memory_gb=1.0)
    serious = [f for f in report.findings if f.severity != "note"] or report.findings
    return report.status, "; ".join(f"{f.kind}: {f.found}" for f in serious)


def _predicted(path: Path, run: Path) -> tuple[str, str]:
    with tempfile.TemporaryDirectory() as out:
        result = predict(RunFolder.open(run), [path], Path(out), device="cpu")
    warned = [warning for report in result["done"] for warning in report["warnings"]]
    reasons = [entry["reason"] for entry in (*result["failed"], *result["skipped"])]
    told = "; ".join((*reasons, *warned)) or "done"
    if result["failed"]:
        return "reject", told
    if result["done"]:
        return ("warn" if warned else "ok"), told
    return "skip", told


def _card_for(path: Path) -> Card | None:
    """A single pair of files is checked against the labels of its card, as a user would."""
    return load_card("msd_hippocampus") if path.is_dir() and (path / "label.nii.gz").exists() else None


def table(entries: list[dict[str, str]], outcomes: dict[str, Outcome]) -> str:
    """Return the outcomes as a Markdown table."""
    lines = ["| entry | expected | found | agrees | s | GB | said |", "|---|---|---|---|---|---|---|"]
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
