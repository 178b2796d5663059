"""Look at all cases of a set together: doubles, cases unlike the others, labels with gaps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medunet.data.doctor import Examined, Facts, Rules
from medunet.data.findings import Finding

ENOUGH_CASES = 8  # below this, no case can be called unlike the others
ROBUST_Z = 6.0  # in standard deviations, estimated from the median absolute deviation
MIXED_SHARE = 0.1  # more cases than this are another kind, not outliers
SMALLEST_SPREAD = np.log(1.1)  # differences below 10 % are never told
MAD_TO_STD = 1.4826


def across(examined: Sequence[Examined], rules: Rules, root: Path) -> list[Finding]:
    """Return what only shows when the cases are compared."""
    known = {case.subject.path: (case, case.facts) for case in examined if case.facts is not None}
    pairs = [(case, facts) for case, facts in known.values() if facts is not None]
    return [*_doubles(pairs), *_unlike(pairs, rules, root), *_labels(examined, rules, root)]


def _doubles(pairs: Sequence[tuple[Examined, Facts]]) -> list[Finding]:
    by_hash: dict[str, list[Examined]] = defaultdict(list)
    for case, facts in pairs:
        if facts.high > facts.low:  # constant images are told as such
            by_hash[facts.voxel_hash].append(case)
    return [
        Finding.of("duplicate", case.subject.path, f"the same voxels as {group[0].subject.path}")
        for group in by_hash.values()
        for case in group[1:]
    ]


def _unlike(pairs: Sequence[tuple[Examined, Facts]], rules: Rules, root: Path) -> list[Finding]:
    if len(pairs) < ENOUGH_CASES or len({len(facts.shape) for _, facts in pairs}) > 1:
        return []
    findings = []
    columns: dict[str, list[tuple[float, ...]]] = {
        "shape": [facts.shape for _, facts in pairs],
        "spacing": [facts.spacing_mm for _, facts in pairs],
        "intensity range": [(max(facts.high - facts.low, 1e-12),) for _, facts in pairs],
    }
    for what, rows in columns.items():
        values = np.array(rows, float)
        middle = np.median(values, axis=0)
        away = np.flatnonzero((robust_z(np.log(values)) > ROBUST_Z).any(axis=1)).tolist()
        if len(away) > MIXED_SHARE * len(rows):
            told = (
                f"{what} of {len(away)} cases is far from the median of {len(rows)} cases, {_short(middle)}"
            )
            findings.append(Finding.of("mixed", root, told))
            continue
        for index in away:
            told = f"{what} {_short(values[index])}, the median of {len(rows)} cases is {_short(middle)}"
            kind = "intensity" if what.startswith("intensity") and not rules.calibrated else "outlier"
            findings.append(Finding.of(kind, pairs[index][0].subject.path, told))
    return findings


def robust_z(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return how far each row of log values (cases, columns) lies from the median, in robust deviations."""
    away = np.abs(values - np.median(values, axis=0))
    spread = np.maximum(MAD_TO_STD * np.median(away, axis=0), SMALLEST_SPREAD / 2)
    return np.asarray(away / spread)


def _labels(examined: Sequence[Examined], rules: Rules, root: Path) -> list[Finding]:
    seen = [case.facts.labels for case in examined if case.facts and case.facts.labels is not None]
    present = sorted({label for labels in seen for label in labels})
    if not present:
        return []
    if rules.labels is None:
        wanted = list(range(1, present[-1] + 1))
        return [Finding.of("gap", root, f"masks hold the labels {present}")] if present != wanted else []
    missing = [f"{value} {name}" for value, name in rules.labels.items() if value not in present and value]
    return [Finding.of("absent", root, f"in no mask: {', '.join(missing)}")] if missing else []


def _short(values: Sequence[float]) -> str:
    return " x ".join(f"{value:.4g}" for value in values)
