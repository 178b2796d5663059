"""What came of an admission: how many, why not, for whom, and how private; as JSON and as a page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from medunet.config.gate import GateSettings
from medunet.config.samples import Check
from medunet.io.write import write_atomic
from medunet.workflows.admit_ground import Ground
from medunet.workflows.admit_measured import Measured
from medunet.workflows.admit_privacy import FEWEST, membership_of
from medunet.workflows.page import render
from medunet.workflows.progress import say
from medunet.workflows.synthetic_set import SyntheticSet

BINS = 3  # of an attribute that is a number, and of difficulty
SHOWN = 200  # rejects in the page; all are in their records
UNEVEN = 0.5  # a subgroup with less than half the yield of the whole set is pointed at


@dataclass(frozen=True)
class Outcome:
    """The decisions on a set."""

    target: SyntheticSet
    decided: Mapping[str, Sequence[Check]]
    measured: Mapping[str, Measured]
    failed: tuple[dict[str, str], ...]
    gate: str
    settings: GateSettings

    @property
    def admitted(self) -> list[str]:
        """The samples that passed every check."""
        return [case for case, checks in self.decided.items() if all(check.passed for check in checks)]

    @property
    def rejected(self) -> list[str]:
        """The samples that did not."""
        return [case for case, checks in self.decided.items() if not all(check.passed for check in checks)]

    def result(self, ground: Ground, device: str | None) -> dict[str, Any]:
        """Return the numbers for JSON."""
        kept = self.admitted
        return {
            "set": str(self.target.path),
            "admitted": len(kept),
            "rejected": len(self.rejected),
            "yield": len(kept) / len(self.decided),
            "failed": list(self.failed),
            "gate_sha256": self.gate,
            "settings": self.settings.model_dump(mode="json"),
            "checks": self.by_check(),
            "subgroups": self.by_subgroup(),
            "privacy": self.privacy(ground, device),
        }

    def by_check(self) -> dict[str, dict[str, Any]]:
        """Return per check how many were looked at and refused, and its numbers' quartiles."""
        out: dict[str, dict[str, Any]] = {}
        for checks in self.decided.values():
            for check in checks:
                line = out.setdefault(check.name, {"checked": 0, "refused": 0, "numbers": []})
                line["checked"] += 1
                line["refused"] += not check.passed
                line["numbers"] += [] if check.number is None else [check.number]
        for line in out.values():
            numbers = line.pop("numbers")
            line["quartiles"] = (
                [round(float(q), 4) for q in np.percentile(numbers, (25, 50, 75))] if numbers else None
            )
        return out

    def by_subgroup(self) -> list[dict[str, Any]]:
        """Return the yield per value of every attribute, and per third of labelled volume."""
        samples, kept = self.target.samples(), set(self.admitted)
        columns: dict[str, dict[str, Any]] = {
            "labelled volume": {case: one.share for case, one in self.measured.items()}
        }
        for case in self.decided:
            for name, value in samples[case].attributes.items():
                columns.setdefault(name, {})[case] = value
        overall = len(kept) / len(self.decided)
        lines = []
        for name, values in columns.items():
            for value, cases in _grouped(values).items():
                share = len(kept & set(cases)) / len(cases)
                lines.append(
                    {
                        "attribute": name,
                        "value": value,
                        "samples": len(cases),
                        "yield": share,
                        "uneven": share < UNEVEN * overall,
                    }
                )
        return lines

    def privacy(self, ground: Ground, device: str | None) -> dict[str, Any]:
        """Return the privacy card: distances of what was admitted, copies refused, membership inference."""
        distances = [self.measured[case].distance for case in self.admitted]
        memory = [c for checks in self.decided.values() for c in checks if c.name == "memory"]
        found = membership_of(ground, device)
        card = "not measured"  # too few cases of either kind: no news is no green card
        if found is not None:
            card = "red" if found.auc > self.settings.membership_auc else "green"
        return {
            "nearest_least": min(distances) if distances else None,
            "nearest_median": float(np.median(distances)) if distances else None,
            "copies_refused": sum(not check.passed for check in memory),
            "membership_auc": found and found.auc,
            "membership_auc_ci95": found and list(found.ci95),
            "membership_cases": found and [found.members, found.non_members],
            "membership_limit": self.settings.membership_auc,
            "card": card,
        }


def write_admission(folder: Path, result: Mapping[str, Any], outcome: Outcome) -> None:
    """Write summary.json and report.html, which may be passed on: without the set's place on this machine."""
    result = _without_place(result, outcome.target.path)
    with write_atomic(folder / "summary.json") as temporary:
        temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    rejects = [
        {"case": case, "reasons": [f"{c.name}: {c.reason}" for c in outcome.decided[case] if not c.passed]}
        for case in outcome.rejected[:SHOWN]
    ]
    content = {
        "result": result,
        "dims": outcome.target.card.dims,
        "card": outcome.target.card,
        "rejects": rejects,
        "more": max(0, len(outcome.rejected) - SHOWN),
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    with write_atomic(folder / "report.html") as temporary:
        temporary.write_text(render("admit_report.html.j2", content), encoding="utf-8")


def told(result: Mapping[str, Any], place: Path) -> None:
    """Say what came of it."""
    total = result["admitted"] + result["rejected"]
    say(f"{result['admitted']} of {total} samples are admitted, {result['rejected']} are in quarantine.")
    for name, line in result["checks"].items():
        if line["refused"]:
            say(f"  {name}: {line['refused']} refused")
    for line in result["subgroups"]:
        if line["uneven"]:
            say(f"  {line['attribute']} {line['value']}: {line['yield']:.0%} of {line['samples']} admitted")
    privacy = result["privacy"]
    if privacy["card"] == "not measured":
        say(f"Privacy: too few cases to measure membership inference ({FEWEST} of either kind are needed).")
    if privacy["card"] == "red":
        say(f"PRIVACY: members can be told from others, AUC {privacy['membership_auc']:.2f}: train less")
    if "agreement" not in result["checks"] and "agreement" in result["settings"]["checks"]:
        say("Agreement of mask and image was not checked: name a segmenter with --segmenter.")
    say(f"report: {place / 'admission' / 'report.html'}")


def _without_place(result: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """Return the result with paths from the set on."""
    lines = [line | {"reason": line["reason"].replace(f"{place}/", "")} for line in result["failed"]]
    return {**result, "set": place.resolve().name, "failed": lines}


def _grouped(values: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the cases per value; numbers in thirds."""
    numbers = [value for value in values.values() if not isinstance(value, str)]
    if len(numbers) < len(values) or len(set(numbers)) <= BINS:
        named = {case: value if isinstance(value, str) else f"{value:g}" for case, value in values.items()}
    else:
        edges = np.quantile(numbers, np.arange(BINS + 1) / BINS)
        words = [f"{low:.3g} to {high:.3g}" for low, high in pairwise(edges)]
        named = {
            case: words[int(np.clip(np.searchsorted(edges, value, side="right") - 1, 0, BINS - 1))]
            for case, value in values.items()
        }
    counted = Counter(named.values())
    return {word: [case for case, mine in named.items() if mine == word] for word in sorted(counted)}
