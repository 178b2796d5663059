"""Orthanc: DICOMweb for the data, and its list of changes, which survives restarts of either side."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from medunet.errors import ConfigError, StudyError
from medunet.io.pacs.address import PacsAddress
from medunet.io.pacs.arrivals import is_wanted
from medunet.io.pacs.dicomweb import DicomWebPacs
from medunet.io.pacs.records import Changes, Limits, Query, SeriesFacts, StudyFacts, Wanted, is_uid

ROOT = "dicom-web/"  # where its plugin serves DICOMweb
PAGE = 1000
ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")  # a hash; no patient shows in it
TOLD = ("NewSeries", "StableSeries")  # both: stopped in between, an Orthanc never tells the second
NAMES = ("SeriesInstanceUID", "Modality", "SeriesDescription", "Manufacturer")


@dataclass(frozen=True)
class _Cursor:
    since: int
    pending: tuple[str, ...] = ()  # studies with new scans that are still arriving

    @staticmethod
    def read(text: str) -> _Cursor:
        try:
            kept: dict[str, Any] = json.loads(text) if text else {"since": 0, "pending": []}
            return _Cursor(int(kept["since"]), tuple(str(known) for known in kept["pending"]))
        except (ValueError, TypeError, KeyError):
            raise ConfigError("the cursor of the PACS is damaged; begin anew with an empty one") from None

    def __str__(self) -> str:
        return json.dumps({"since": self.since, "pending": self.pending}, separators=(",", ":"))


class OrthancPacs(DicomWebPacs):
    """An Orthanc server with its DICOMweb plugin."""

    def __init__(self, address: PacsAddress, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen
        """Nothing is sent yet."""
        super().__init__(address, limits, ROOT)

    def changes(self, cursor: str | None, wanted: Wanted = Wanted()) -> Changes:  # noqa: B008 - frozen
        """Return the studies that are stable now and of which a scan is new since cursor.

        Orthanc itself says what is stable: `wanted.stable_s` changes nothing.
        """
        last = self._page([("last", "")])["Last"]
        if cursor is None:
            return Changes((), str(_Cursor(last)))
        start = _Cursor.read(cursor)
        since = start.since if start.since <= last else 0  # its database was begun anew
        pending = dict.fromkeys([*start.pending, *wanted.again])
        done = False
        while not done:
            page = self._page([("since", str(since)), ("limit", str(PAGE))])
            news = [change["ID"] for change in page["Changes"] if change["ChangeType"] in TOLD]
            pending |= dict.fromkeys(
                study for known in dict.fromkeys(news) for study in self._study_of(known, wanted.query)
            )
            done, since = page["Done"] or page["Last"] <= since, page["Last"]
        return self._ready(list(pending), since, wanted.query)

    def _ready(self, pending: list[str], since: int, query: Query) -> Changes:
        ready, waiting = [], []
        for known in pending:
            found = self._resource("studies", known)
            if found and found.get("IsStable"):
                ready += self._told(known, found, query)
            elif found:
                waiting.append(known)
        return Changes(tuple(ready), str(_Cursor(since, tuple(waiting))))

    def _told(self, known: str, found: dict[str, Any], query: Query) -> list[StudyFacts]:
        """Return a stable study with its scans; nothing if it is not what is asked for."""
        tags = _tags(found, "PatientMainDicomTags") | _tags(found, "MainDicomTags")
        uid = tags.get("StudyInstanceUID", "")
        if not (is_uid(uid) and query.on(_arrived(found)).matches(tags)):
            return []
        every = [facts for one in found.get("Series", []) if (facts := self._facts(one))]
        series = tuple(facts for facts in every if is_wanted(facts, query))
        return [StudyFacts(uid, sum(s.instances or 0 for s in series), series, known)] if series else []

    def _page(self, parameters: list[tuple[str, str]]) -> dict[str, Any]:
        page = self._web.json("changes", parameters)
        try:
            return {
                "Last": int(page["Last"]),
                "Done": bool(page["Done"]),
                "Changes": [
                    {key: str(change[key]) for key in ("ChangeType", "ID")} for change in page["Changes"]
                ],
            }
        except (TypeError, KeyError, ValueError):
            raise StudyError(
                f"{self.address}: /changes answers something else; is this an Orthanc?"
            ) from None

    def _study_of(self, series: str, query: Query) -> list[str]:
        """Return the study of a series that is wanted; nothing for results, and for what was deleted."""
        found = self._resource("series", series)
        facts = self._read(found) if found else None
        return [str(found["ParentStudy"])] if found and facts and is_wanted(facts, query) else []

    def _facts(self, series: str) -> SeriesFacts | None:
        found = self._resource("series", series)
        return self._read(found) if found else None

    @staticmethod
    def _read(found: dict[str, Any]) -> SeriesFacts:
        tags = _tags(found, "MainDicomTags")
        uid, modality, description, manufacturer = (tags.get(name, "") for name in NAMES)
        return SeriesFacts(uid, modality, description, manufacturer, len(found.get("Instances", [])))

    def _resource(self, level: str, known: str) -> dict[str, Any] | None:
        if not ORTHANC_ID.fullmatch(known):
            return None
        found = self._web.json(f"{level}/{known}", missing_ok=True)
        return found if isinstance(found, dict) else None


def _tags(found: dict[str, Any], group: str) -> dict[str, str]:
    return {str(key): str(value) for key, value in found.get(group, {}).items()}


def _arrived(found: dict[str, Any]) -> date:
    """Return the day on which the last instance came, from which the query counts its days."""
    try:
        when = datetime.strptime(str(found.get("LastUpdate")), "%Y%m%dT%H%M%S")
    except ValueError:
        return date.today()
    return when.replace(tzinfo=UTC).astimezone().date()
