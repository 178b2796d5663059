"""Which studies became complete, for a PACS that tells no changes: ask, remember the counts, ask again.

What medunet made itself never counts as new, so that sending a result back cannot start another run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol

from medunet.errors import ConfigError, StudyError
from medunet.io.pacs.records import Changes, Limits, Query, SeriesFacts, StudyFacts, Wanted, hashed

OWN_NAME = "medunet"  # begins the Manufacturer or the SeriesDescription of every result that we write
NOT_SCANS = frozenset(  # modalities of PS3.3 C.7.3.1.1.1 that are said about images
    {
        "SEG",
        "RTSTRUCT",
        "RTPLAN",
        "RTDOSE",
        "RTRECORD",
        "RTIMAGE",
        "SR",
        "PR",
        "KO",
        "REG",
        "FID",
        "DOC",
        "ECG",
    }
)
PREVIEWS = frozenset({"OT", "SC"})  # secondary captures  # codespell:ignore ot
STABLE_S = 60.0  # a study whose count did not change for so long is complete
SETTLED = -1
WINDOW_DAYS = 2  # of a query without dates: studies dated longer before the last poll are not looked at


class Lister(Protocol):
    """The two questions that every PACS answers."""

    def studies(self, query: Query) -> Iterable[StudyFacts]:
        """Yield the studies that match, without their series."""

    def series(self, study: StudyFacts) -> tuple[SeriesFacts, ...]:
        """Return all series of a study."""


def is_own(series: SeriesFacts) -> bool:
    """Tell whether medunet made a series as a result; scans are never results, phantoms of ours neither."""
    says = any(
        text.strip().casefold().startswith(OWN_NAME) for text in (series.manufacturer, series.description)
    )
    return says and series.modality in NOT_SCANS | PREVIEWS


def is_scan(series: SeriesFacts) -> bool:
    """Tell whether a series holds images that came from elsewhere."""
    return series.modality not in NOT_SCANS and not is_own(series)


def is_wanted(series: SeriesFacts, query: Query) -> bool:
    """Tell whether a series is a scan that a watch asks for."""
    return is_scan(series) and query.modality in ("", series.modality)


def find(lister: Lister, query: Query, limits: Limits) -> list[StudyFacts]:
    """Return the studies that match with the series that are wanted; a study without any is left out."""
    found: list[StudyFacts] = []
    for study in lister.studies(query):
        if len(found) == limits.studies:
            raise StudyError(
                f"the query matches more than {limits.studies} studies; narrow it, by date for instance"
            )
        wanted = tuple(
            series
            for series in lister.series(study)
            if (query.own or not is_own(series)) and query.modality in ("", series.modality)
        )
        if wanted:
            found.append(replace(study, series=wanted))
    return found


@dataclass(frozen=True)
class _Cursor:
    """When the last poll was (s), and what it found, by the hashed names of the studies.

    For each: instances counted, since when (s; `SETTLED` once complete), and a name for the scans last told.
    """

    polled: float
    seen: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    @staticmethod
    def read(text: str) -> _Cursor:
        try:
            kept = json.loads(text)
            seen = {
                str(key): (int(count), int(since), str(told))
                for key, (count, since, told) in kept["studies"].items()
            }
            return _Cursor(int(kept["polled"]), seen)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ConfigError("the cursor of the PACS is damaged; begin anew with an empty one") from None

    def __str__(self) -> str:
        hour = int(self.polled) // 3600 * 3600  # exact enough for dates, and the same text while all is quiet
        return json.dumps({"polled": hour, "studies": self.seen}, separators=(",", ":"))


def poll(
    lister: Lister,
    cursor: str | None,
    wanted: Wanted = Wanted(),  # noqa: B008 - frozen
    *,
    now: float | None = None,
) -> Changes:
    """Return the studies whose scans are complete and changed since cursor."""
    now = time.time() if now is None else now
    stable_s = STABLE_S if wanted.stable_s is None else wanted.stable_s
    before, after = _Cursor.read(cursor) if cursor else _Cursor(now), _Cursor(now)
    ready = []
    for study in lister.studies(_asked(wanted, before)):
        count, since, told = before.seen.get(study.key, (-1, 0, ""))
        if study.key in wanted.again:
            since, told = 0, ""
        series = lister.series(study) if study.instances is None or cursor is None else ()
        number = study.instances if study.instances is not None else sum(s.instances or 0 for s in series)
        if cursor is None:
            told = _name(_scans(series, wanted.query))
        if count != number:
            since = int(now)
        elif since != SETTLED and now - since >= stable_s:
            since, scans = SETTLED, _scans(lister.series(study), wanted.query)
            if scans and told != _name(scans):
                ready.append(replace(study, series=scans, mark=study.key))
            told = _name(scans)
        after.seen[study.key] = (number, since, told)
    return Changes(tuple(ready), str(after))


def _asked(wanted: Wanted, before: _Cursor) -> Query:
    """Return what to ask: studies dated from some days before the last poll on, however long ago that was.

    What was not complete then, or not taken, keeps the window open.
    """
    arriving = (since for _, since, _ in before.seen.values() if since != SETTLED)
    begin = date.fromtimestamp(min([before.polled, *arriving, *wanted.again.values()]))
    query = wanted.query.on(begin)
    return query if query.dates else replace(query, days=WINDOW_DAYS).on(begin)


def _scans(series: Iterable[SeriesFacts], query: Query) -> tuple[SeriesFacts, ...]:
    return tuple(one for one in series if is_wanted(one, query))


def _name(scans: Iterable[SeriesFacts]) -> str:
    """Return a name for the state of a study's scans."""
    return hashed(" ".join(sorted(f"{s.uid}:{s.instances}" for s in scans)))[:16]
