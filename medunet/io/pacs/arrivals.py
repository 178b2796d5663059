"""Which studies became complete, for a PACS that tells no changes: ask, remember the counts, ask again.

What medunet made itself never counts as new, so that sending a result back cannot start another run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, timedelta
from typing import Protocol

from medunet.errors import ConfigError, StudyError
from medunet.io.pacs.records import Changes, Limits, Query, SeriesFacts, StudyFacts, hashed

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
WINDOW_DAYS = 2  # studies dated earlier are not looked at again


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


def poll(lister: Lister, cursor: str | None, *, now: float | None = None) -> Changes:
    """Return the studies whose scans are complete and changed since cursor.

    The cursor keeps, under hashed names: instances counted, since when (s; `SETTLED` once judged complete),
    and a name for the scans last told.
    """
    now = time.time() if now is None else now
    before = _read(cursor)
    after: dict[str, tuple[int, int, str]] = {}
    ready = []
    recent = Query(since=date.fromtimestamp(now) - timedelta(days=WINDOW_DAYS))
    for study in lister.studies(recent):
        key = hashed(study.uid)
        count, since, told = before.get(key, (-1, 0, ""))
        series = lister.series(study) if study.instances is None or cursor is None else ()
        number = study.instances if study.instances is not None else sum(s.instances or 0 for s in series)
        if cursor is None:
            told = _scans(series)
        if count != number:
            since = int(now)
        elif since != SETTLED and now - since >= STABLE_S:
            since, series = SETTLED, lister.series(study)
            if told != _scans(series) and (wanted := tuple(filter(is_scan, series))):
                ready.append(replace(study, series=wanted))
            told = _scans(series)
        after[key] = (number, since, told)
    return Changes(tuple(ready), json.dumps(after, separators=(",", ":")))


def _scans(series: Iterable[SeriesFacts]) -> str:
    """Return a name for the state of a study's scans."""
    return hashed(" ".join(sorted(f"{s.uid}:{s.instances}" for s in series if is_scan(s))))[:16]


def _read(cursor: str | None) -> dict[str, tuple[int, int, str]]:
    if not cursor:
        return {}
    try:
        kept = json.loads(cursor)
        return {str(key): (int(count), int(since), str(told)) for key, (count, since, told) in kept.items()}
    except (ValueError, TypeError, AttributeError):
        raise ConfigError("the cursor of the PACS is damaged; begin anew with an empty one") from None
