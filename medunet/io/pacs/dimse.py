"""A PACS over DIMSE (PS3.4, PS3.7): C-ECHO, C-FIND, C-GET or C-MOVE to a receiver of our own, C-STORE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medunet.io.pacs import arrivals
from medunet.io.pacs.address import PacsAddress
from medunet.io.pacs.associations import ECHO, association, context
from medunet.io.pacs.finder import finder
from medunet.io.pacs.records import Changes, Limits, PushReport, Query, SeriesFacts, StudyFacts, Wanted
from medunet.io.pacs.retries import TransientError, retried
from medunet.io.pacs.retrieval import Retrieval
from medunet.io.pacs.sending import send


class DimsePacs:
    """A PACS reached by AE titles; find, fetch, push and changes as `records.Pacs` says."""

    def __init__(self, address: PacsAddress, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        """Nothing is sent yet."""
        self.address = address
        self._limits = limits
        self._retrieval = Retrieval(address, limits)

    def check(self) -> None:
        """Return when the PACS answers a C-ECHO."""
        retried(self._echo)

    def _echo(self) -> None:
        with association(self.address, [context(ECHO)], self._limits) as opened:
            if opened.send_c_echo().get("Status") != 0:
                raise TransientError(f"{self.address}: no answer to a C-ECHO")

    def find(self, query: Query) -> list[StudyFacts]:
        """Return the studies that match, each with those of its series that are wanted (C-FIND)."""
        return retried(lambda: self._find(query))

    def _find(self, query: Query) -> list[StudyFacts]:
        with finder(self.address, self._limits) as lister:
            return arrivals.find(lister, query, self._limits)

    def changes(self, cursor: str | None, wanted: Wanted = Wanted()) -> Changes:  # noqa: B008 - frozen
        """Return what became complete since cursor, by polling: DIMSE has no list of changes."""
        return retried(lambda: self._changes(cursor, wanted))

    def _changes(self, cursor: str | None, wanted: Wanted) -> Changes:
        with finder(self.address, self._limits) as lister:
            return arrivals.poll(lister, cursor, wanted)

    def fetch(self, study: StudyFacts, folder: Path) -> list[Path]:
        """Write the named series (without any: all scans) into folder, several at a time."""
        wanted = study.series or retried(lambda: self._scans(study))
        return self._retrieval.fetch(study, wanted, folder)

    def _scans(self, study: StudyFacts) -> tuple[SeriesFacts, ...]:
        with finder(self.address, self._limits) as lister:
            return tuple(filter(arrivals.is_scan, lister.series(study)))

    def push(self, files: Sequence[Path]) -> PushReport:
        """Send DICOM files over several associations (C-STORE)."""
        return send(self.address, self._limits, files)
