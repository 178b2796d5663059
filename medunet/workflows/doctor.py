"""doctor: read a whole data set, say what is wrong or odd, write repaired copies."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from medunet.config.card import Card
from medunet.data.cases import Case, Found, check_expectations, find_cases
from medunet.data.datalist import check_config
from medunet.data.detect import Detected, detect, pair_in, problem
from medunet.data.doctor import Examined, Rules, Subject, declared_bytes, examine_case
from medunet.data.findings import KINDS, STATUS_OF, Finding, Status, worst
from medunet.data.outliers import across
from medunet.data.parallel import each
from medunet.data.repair import Repair, repair
from medunet.errors import ConfigError, DataError, MedunetError
from medunet.io.dicom.audit import Audit
from medunet.io.dicom.series import NOT_A_SCAN
from medunet.io.find import ENDINGS, Skipped, find_images
from medunet.workflows.progress import progress, say

CONFIG_ENDINGS = (".json", ".yaml", ".yml")
IMAGE_LIKE = (*ENDINGS, ".gz", ".hdr", ".img", ".mnc", ".mgz", ".bmp", ".gif", ".dicom", ".ima")
SHOWN = 5  # findings of one kind in the table; the JSON holds all


@dataclass
class Report:
    """What the doctor found."""

    target: Path
    layout: str
    card: str | None = None
    cases: int = 0
    files: dict[Path, Status] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def status(self) -> Status:
        """The worst status of all files and of the set as a whole."""
        told = [STATUS_OF[finding.severity] for finding in self.findings if finding.severity != "note"]
        return worst([*self.files.values(), *told])

    @property
    def exit_code(self) -> int:
        """0 where everything can be used, 1 where some files cannot."""
        return int(self.status == "reject")

    def as_json(self) -> dict[str, Any]:
        """Return plain values for `--json`."""
        values = asdict(self) | {"status": self.status, "counts": dict(Counter(self.files.values()))}
        return dict(
            json.loads(
                json.dumps(values | {"files": {str(p): s for p, s in self.files.items()}}, default=str)
            )
        )


class Allowance:
    """Lets work start while its declared memory fits; work that never fits runs alone."""

    def __init__(self, bytes_total: float) -> None:
        """Hand out at most `bytes_total` bytes at a time."""
        self._total, self._used, self._free = bytes_total, 0.0, threading.Condition()

    @contextmanager
    def taking(self, share: float) -> Iterator[None]:
        """Hold `share` bytes until the block ends, waiting for them first."""
        share = min(share, self._total)
        with self._free:
            self._free.wait_for(lambda: self._used + share <= self._total)
            self._used += share
        try:
            yield
        finally:
            with self._free:
                self._used -= share
                self._free.notify_all()


def examine(
    target: Path,
    *,
    card: Card | None = None,
    fix: Path | None = None,
    workers: int | None = None,
    memory_gb: float = 2.0,
) -> Report:
    """Return what is wrong or odd about a data folder, an image or a configuration file, and print it.

    Repaired copies go to `fix`, never into the data. DataError or ConfigError if there is nothing to look at.
    """
    start = time.monotonic()
    if not target.exists():
        raise DataError(
            f"{target}: there is no such file or folder. Give a data folder, an image, a card or a recipe."
        )
    if fix is not None:
        _check_outside(target, fix)
    found = _what(target, card)
    report = Report(target, found.layout, card.name if card else None, len(found.subjects))
    audit = Audit()
    report.findings += [*found.findings, *(_not_read(entry, audit) for entry in found.skipped)]
    allowance = Allowance(memory_gb * 1e9)
    examined = _examine_all(found, allowance, workers or os.cpu_count() or 1)
    report.findings += [finding for case in examined for finding in case.findings]
    report.findings += across(examined, found.rules, target)
    if card is not None and found.layout == f"card {card.name}":
        report.findings += _expectations(card, examined, target)
    report.files = _statuses(found, report.findings)
    if fix is not None:
        report.repairs = _repair_all(examined, target, fix, allowance)
    report.seconds = round(time.monotonic() - start, 3)
    show(report)
    return report


def _what(target: Path, card: Card | None) -> Detected:
    if target.is_dir():
        return detect(target) if card is None else _by_card(target, card)
    if target.name.lower().endswith(CONFIG_ENDINGS):
        return Detected("configuration", (), findings=check_config(target))
    sources, skipped = find_images([target])
    subjects = tuple(Subject(source.name, source, source.path) for source in sources)
    rules = Rules.of(card) if card else Rules()
    return Detected("one file", subjects, rules, skipped=tuple(skipped))


def _by_card(root: Path, card: Card) -> Detected:
    """Return the cases of a card; a folder with one pair of files is read with the card's labels."""
    rules = Rules.of(card)
    pair = pair_in(root)
    if pair is not None:
        return replace(pair, rules=rules)
    found = find_cases(card, root, labelled=False)
    subjects = tuple(Subject.of(case) for case in (*found.cases, *found.unlabelled))
    told = tuple(problem(text) for text in found.problems)
    return Detected(f"card {card.name}", subjects, rules, told)


def _expectations(card: Card, examined: Sequence[Examined], root: Path) -> list[Finding]:
    """Return how the data differs from the card's `expect:` block."""
    facts = {case.subject.id: case.facts for case in examined if case.facts}
    cases = tuple(
        Case(case.subject.id, "", (case.subject.path,), case.subject.mask, None)
        for case in examined
        if case.subject.mask
    )
    try:
        check_expectations(card, Found(cases), facts)
    except DataError as error:
        return [Finding.of("config", root, str(error), expected="the data that the card expects")]
    return []


def _not_read(entry: Skipped, audit: Audit) -> Finding:
    """A damaged image is an error; a file that is none is a note."""
    if NOT_A_SCAN in entry.reason and (wrong := audit.problem_of(entry.path)):
        return Finding.of("reference", entry.path, wrong)
    foreign = not entry.path.name.lower().endswith(IMAGE_LIKE) or "big-endian DICOM" in entry.reason
    sound = foreign or NOT_A_SCAN in entry.reason
    return Finding.of(
        "no-image" if sound else "unreadable", entry.path, entry.reason.removeprefix(NOT_A_SCAN)
    )


def _examine_all(found: Detected, allowance: Allowance, workers: int) -> list[Examined]:
    def work(subject: Subject) -> Examined:
        with allowance.taking(declared_bytes(subject)):
            return examine_case(subject, found.rules)

    if not found.subjects:
        return []
    out: list[Examined] = []
    with progress("Examining", total=len(found.subjects)) as bar:
        for subject, result in each(work, found.subjects, min(workers, len(found.subjects))):
            if isinstance(result, MedunetError):
                told = Finding.of("unreadable", subject.path, str(result))
                result = Examined(subject, (told,), None)
            out.append(result)
            bar.note(subject.id)
            bar.advance()
    return sorted(out, key=lambda case: (case.subject.id, str(case.subject.path)))


def _statuses(found: Detected, findings: Sequence[Finding]) -> dict[Path, Status]:
    files: dict[Path, Status] = {entry.path: "skip" for entry in found.skipped}
    for subject in found.subjects:
        for path in (subject.path, *subject.others, *((subject.mask,) if subject.mask else ())):
            files[path] = "ok"
    for finding in findings:
        status = STATUS_OF[finding.severity]
        before = files.get(finding.path, "ok")
        if finding.kind != "no-image":
            files[finding.path] = worst([before, status])
    return dict(sorted(files.items()))


def _check_outside(target: Path, fix: Path) -> None:
    """Refuse a folder for copies that could meet the data."""
    source, copies = target.resolve(), fix.resolve()
    inside = (
        copies.is_relative_to(source) or source.is_relative_to(copies)
        if target.is_dir()
        else copies == source.parent
    )
    if inside:
        raise ConfigError(
            f"--fix {fix}: copies would lie among the data of {target}. Give a folder outside of it."
        )
    if fix.exists() and not fix.is_dir():
        raise ConfigError(f"--fix {fix}: is a file; expected a folder, which may be new.")


def _repair_all(examined: Sequence[Examined], target: Path, fix: Path, allowance: Allowance) -> list[Repair]:
    root = target if target.is_dir() else target.parent
    cases = [case for case in examined if case.findings]

    def place(path: Path) -> Path:
        return fix / path.relative_to(root)

    def work(case: Examined) -> list[Repair]:
        with allowance.taking(2 * declared_bytes(case.subject)):
            return repair(case, place)

    out: list[Repair] = []
    for case, result in each(work, cases, os.cpu_count() or 1):
        out += [Repair(case.subject.path, None, str(result))] if isinstance(result, MedunetError) else result
    unique = dict.fromkeys(out)
    return sorted(unique, key=lambda entry: str(entry.source))


def show(report: Report) -> None:
    """Print the findings by kind, worst first, then the counts and what was repaired."""
    by_kind: dict[str, list[Finding]] = {}
    for finding in sorted(report.findings, key=lambda f: ("error", "warning", "note").index(f.severity)):
        by_kind.setdefault(finding.kind, []).append(finding)
    name = partial(_name, report.target)
    for findings in by_kind.values():
        first = findings[0]
        usual, shown = KINDS[first.kind], 2 if first.severity == "note" else SHOWN
        count = f"{first.severity.upper()}, {len(findings)}"
        say(f"{count}: expected {usual.expected}. What to do: {usual.remedy}.")
        for finding in findings[:shown]:
            own = "" if finding.expected == usual.expected else f"; expected {finding.expected}"
            say(f"    {name(finding.path)}: {finding.found}{own}")
        if len(findings) > shown:
            say(f"    ... and {len(findings) - shown} more (--json FILE lists all)")
    for entry in report.repairs:
        say(f"{'repaired' if entry.target else 'not repaired'}: {name(entry.source)}: {entry.what}")
    counts = Counter(report.files.values())
    said = ", ".join(
        f"{counts[status]} {status}" for status in ("ok", "warn", "reject", "skip") if counts[status]
    )
    what = f"{report.layout}, {report.cases} cases"
    say(f"{report.target}: {what}; files: {said or 'none'} ({report.seconds:.1f} s)")


def _name(target: Path, path: Path) -> str:
    return str(path.relative_to(target)) if path != target and path.is_relative_to(target) else path.name
