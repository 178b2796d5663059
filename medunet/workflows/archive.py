"""Studies from a PACS into a folder, and results back to it. docs/pacs.md says how an address is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medunet.errors import ConfigError, StudyError
from medunet.io.pacs import Pacs, StudyFacts, is_address, open_pacs
from medunet.studies.identity import sha256_of
from medunet.studies.publish import RESULT
from medunet.workflows.progress import progress, say

FETCHED = "studies/fetched"  # below the workspace; one folder a study, under a hashed name


@dataclass(frozen=True)
class PacsChanges:
    """What is new in a PACS, fetched into a folder; a source for `studies.watch`."""

    pacs: Pacs
    address: str
    folder: Path

    @property
    def name(self) -> str:
        """Where the cursor is kept in the ledger."""
        return f"pacs {sha256_of(self.address)[:32]}"

    def since(self, cursor: str | None) -> tuple[str, Sequence[Sequence[Path]]]:
        """Return the next cursor and the folders of what arrived; without a cursor, from now on."""
        found = self.pacs.changes(cursor)
        return found.cursor, [[_fetched(self.pacs, study, self.folder)] for study in found.studies]


def watched(address: str, workspace: Path) -> PacsChanges:
    """Return the source at a PACS address; StudyError if it does not answer, ConfigError if it is wrong."""
    pacs, _ = open_pacs(address)
    pacs.check()
    return PacsChanges(pacs, address, workspace / FETCHED)


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
    """Send the DICOM results below a folder of results to a PACS; sending again repeats nothing.

    Return {"stored": N, "already": N, "failed": {name: reason}}.
    """
    files = sorted(p for result in out.glob(f"*/{RESULT}") for p in result.parent.glob("*.dcm"))
    if not files:
        raise ConfigError(
            f"{out}: holds no DICOM results. Queue studies with --format seg, sr, rtstruct or preview first."
        )
    pacs, _ = open_pacs(address)
    told = pacs.push(files)
    failed = {path.relative_to(out).as_posix(): reason for path, reason in told.failed.items()}
    for name, reason in failed.items():
        say(f"not sent: {name}: {reason}")
    return {"stored": len(told.stored), "already": len(told.already), "failed": failed}


def _fetched(pacs: Pacs, study: StudyFacts, folder: Path) -> Path:
    place = folder / study.key
    place.mkdir(parents=True, exist_ok=True)
    pacs.fetch(study, place)
    return place


def _shown(place: str) -> str:
    """Return an address without what is asked for, which may name a patient."""
    return place.split("?")[0]
