"""Studies from a PACS into a folder, and results back to it. docs/pacs.md says how an address is written."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medunet.errors import ConfigError, StudyError
from medunet.io.pacs import (
    Pacs,
    StudyFacts,
    TransientError,
    Wanted,
    is_address,
    open_pacs,
    parse_address,
    studies_chosen,
)
from medunet.io.pacs.arrivals import NOT_SCANS
from medunet.studies.identity import sha256_of
from medunet.studies.publish import RESULT, file_sha256
from medunet.studies.watch import Step
from medunet.workflows.progress import progress, say

FETCHED = "studies/fetched"  # below the workspace; one folder a study, under a hashed name
EVERY_S = 15.0  # between two looks at a PACS
GIVE_UP_S = 3 * 86400.0  # a weekend: a study that could not be fetched for so long is left
PUSHED = ".pushed-{}"  # in the folder of results: what a PACS accepted
PUSHED_AT_ONCE = 500  # files; a push that is killed repeats so many at most


@dataclass
class PacsChanges:
    """What is new in a PACS, fetched into a folder; a source for `studies.watch`.

    The cursor keeps that of the PACS, and which studies it told that are not fetched yet, each with the time
    since which. The PACS tells those again, so that one that cannot be fetched now holds up no other.
    """

    pacs: Pacs
    address: str
    folder: Path
    wanted: Wanted = Wanted()  # noqa: RUF009 - frozen
    every_s: float = EVERY_S
    _complained: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """Where the cursor is kept in the ledger."""
        return f"pacs {sha256_of(self.address)[:32]}"

    def since(self, cursor: str | None) -> Iterator[Step]:
        """Yield the folders of what arrived, each as soon as it is fetched; without a cursor, from now on."""
        place, before = self._read(cursor)
        found = self.pacs.changes(place, replace(self.wanted, again=before))
        studies = _new_first(found.studies, list(before))
        waiting = {study.mark: before.get(study.mark, time.time()) for study in studies}
        yield _written(found.cursor, waiting), ()
        failed_again = False
        for study in studies:
            if failed_again and study.mark in before:
                continue  # one failure a look: each may take minutes, and what is new must not wait for them
            since = waiting.pop(study.mark)
            paths, passing = self._fetch(study, time.time() - since)
            if passing:
                waiting[study.mark] = since  # as the last: the next look begins with another
                failed_again |= study.mark in before
            yield _written(found.cursor, waiting), paths

    def _read(self, cursor: str | None) -> tuple[str | None, dict[str, float]]:
        """Return the cursor of the PACS, and the marks of studies that are not fetched yet."""
        if cursor is None:
            return None, {}
        try:
            kept = json.loads(cursor)
            return str(kept["pacs"]), {str(mark): float(since) for mark, since in kept["waiting"].items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ConfigError(
                f"{_shown(self.address)}: its cursor in the ledger is damaged, or of another version of "
                "medunet. Begin anew with another --ledger."
            ) from None

    def _fetch(self, study: StudyFacts, age_s: float) -> tuple[list[Path], bool]:
        """Return the folder of a study, or none and whether to try again."""
        try:
            paths = [_fetched(self.pacs, study, self.folder)]
        except (StudyError, ConfigError) as error:
            # a ConfigError too may pass: the login, our AE title and our port can be put right meanwhile
            passing = isinstance(error, TransientError | ConfigError) and age_s < GIVE_UP_S
            if not passing:
                say(f"study {study.key} not fetched, left: {error}")
            elif study.mark not in self._complained:
                say(f"study {study.key} not fetched, tried again: {error}")
                self._complained.add(study.mark)
            return [], passing
        self._complained.discard(study.mark)
        return paths, False


def watched(address: str, workspace: Path, stable_s: float | None = None) -> PacsChanges:
    """Return the source at a PACS address; StudyError if it does not answer, ConfigError if it is wrong."""
    pacs, query = open_pacs(address)
    where = _shown(address)
    if query.own or query.modality in NOT_SCANS:
        wrong = "own=yes" if query.own else f"modality={query.modality}"
        raise ConfigError(f"{where}: {wrong} asks for results, and a watch takes scans only. Leave it out.")
    if stable_s is not None and parse_address(address)[0].kind == "orthanc":
        raise ConfigError(
            f"{where}: --stable cannot be set here: Orthanc itself says what is whole. Leave it out, and "
            "change StableAge in the configuration of Orthanc."
        )
    pacs.check()
    return PacsChanges(pacs, address, workspace / FETCHED, Wanted(query, stable_s))


def gather(places: Sequence[str], workspace: Path) -> tuple[list[Path], dict[str, str]]:
    """Return paths as they are, and for a PACS address the folders its studies were fetched into.

    Also why studies could not be fetched, by their hashed names.
    """
    paths: list[Path] = []
    failed: dict[str, str] = {}
    for place in places:
        if not is_address(place):
            paths.append(Path(place))
            continue
        pacs, query = open_pacs(place)
        studies = pacs.find(query)
        if not studies:
            raise ConfigError(
                f"{_shown(place)}: no study fits what was asked for. Change what follows the question mark."
            )
        with progress("Fetching", len(studies)) as bar:
            for study in studies:
                try:
                    paths.append(_fetched(pacs, study, workspace / FETCHED))
                except StudyError as error:
                    failed[study.key] = str(error)
                    say(f"not fetched: {error}")
                bar.advance()
    return paths, failed


def push(out: Path, address: str) -> dict[str, Any]:
    """Send the DICOM results below a folder of results to a PACS; what it has accepted is not sent again.

    Return {"stored": N, "already": N, "failed": {name: reason}}.
    """
    files = sorted(p for result in out.glob(f"*/{RESULT}") for p in result.parent.glob("*.dcm"))
    if not files:
        raise ConfigError(
            f"{out}: holds no DICOM results. Queue studies with --format seg, sr, rtstruct or preview first."
        )
    pacs, _ = open_pacs(address)
    if chosen := studies_chosen(address):
        raise ConfigError(
            f"{_shown(address)}: the query ({', '.join(chosen)}) says which studies to fetch, but every "
            "result is sent. Leave it out."
        )
    record = out / PUSHED.format(sha256_of(str(parse_address(address)[0]))[:16])
    digests = {path: _digest(path) for path in files}
    accepted = _accepted(record)
    new = [path for path in files if digests[path] not in accepted]
    stored, already = 0, len(files) - len(new)
    failed: dict[str, str] = {}
    for first in range(0, len(new), PUSHED_AT_ONCE):
        told = pacs.push(new[first : first + PUSHED_AT_ONCE])
        _remember(record, [digests[path] for path in (*told.stored, *told.already)])
        stored, already = stored + len(told.stored), already + len(told.already)
        failed |= {path.relative_to(out).as_posix(): reason for path, reason in told.failed.items()}
    for name, reason in failed.items():
        say(f"not sent: {name}: {reason}")
    return {"stored": stored, "already": already, "failed": failed}


def _written(place: str, waiting: dict[str, float]) -> str:
    return json.dumps({"pacs": place, "waiting": waiting}, separators=(",", ":"))


def _new_first(studies: Iterable[StudyFacts], before: Sequence[str]) -> list[StudyFacts]:
    """Return what was never tried, then the rest in the order in which it waits."""
    return sorted(studies, key=lambda study: before.index(study.mark) if study.mark in before else -1)


def _fetched(pacs: Pacs, study: StudyFacts, folder: Path) -> Path:
    place = folder / study.key
    place.mkdir(parents=True, exist_ok=True)
    pacs.fetch(study, place)
    return place


def _digest(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError:  # the push tells why
        return ""


def _accepted(record: Path) -> set[str]:
    """Return the SHA-256 of every file that a PACS accepted before."""
    try:
        return set(record.read_text(encoding="ascii").split())
    except FileNotFoundError:
        return set()


def _remember(record: Path, digests: Sequence[str]) -> None:
    """Add to what a PACS accepted. Each begins a line, so that one cut short by a crash spoils no other."""
    with record.open("a", encoding="ascii") as stream:
        stream.write("".join(f"\n{digest}" for digest in digests))
        stream.flush()
        os.fsync(stream.fileno())


def _shown(place: str) -> str:
    """Return an address without what is asked for, which may name a patient."""
    return place.split("?")[0]
