"""What a PACS does for medunet, and the records that pass between. No record shows a patient in its repr."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Protocol

from medunet.errors import ConfigError

UID = re.compile(r"[0-9]+(\.[0-9]+)*")
UID_LENGTH = TEXT_LENGTH = 64  # VR UI and LO, PS3.5 6.2


@dataclass(frozen=True)
class Limits:
    """What one fetch may bring in at most; more is refused before it fills memory or disk."""

    instance_bytes: int = 2**30
    study_bytes: int = 2**35
    instances: int = 50_000
    studies: int = 10_000  # answers to one query
    answer_bytes: int = 2**26  # one answer to a query


@dataclass(frozen=True)
class Query:
    """Which studies are wanted; an empty field is any. Both dates are included.

    Only `description` (of the study) takes the wildcards * and ?. `modality` also chooses among the series.
    Results that medunet itself made are left out unless `own`.
    """

    patient_id: str = field(default="", repr=False)
    accession: str = field(default="", repr=False)
    study_uid: str = field(default="", repr=False)
    description: str = field(default="", repr=False)
    modality: str = ""
    since: date | None = None
    until: date | None = None
    own: bool = False
    days: int | None = None  # `since` lies so many days before the day of asking, see `on`

    def __post_init__(self) -> None:
        """Refuse what would match more than it says, or what no DICOM attribute holds."""
        for name in ("patient_id", "accession", "study_uid", "modality", "description"):
            value = getattr(self, name)
            if re.search(r"[\\\x00-\x1f]", value) or (name != "description" and re.search(r"[*?]", value)):
                raise ConfigError(
                    f"query: {name} holds a wildcard, backslash or control character; give it whole"
                )
            if len(value) > TEXT_LENGTH:
                raise ConfigError(
                    f"query: {name} has {len(value)} characters, at most {TEXT_LENGTH} are allowed"
                )
        if self.study_uid and not is_uid(self.study_uid):
            raise ConfigError("query: study is no DICOM UID; expected digits and dots")
        if self.since and self.until and self.since > self.until:
            raise ConfigError("query: the first date lies after the last; swap them")

    @property
    def dates(self) -> str:
        """The range as DICOM writes it, such as 20260101-20260131 (PS3.4 C.2.2.2.5)."""
        if not (self.since or self.until):
            return ""
        return "-".join(day.strftime("%Y%m%d") if day else "" for day in (self.since, self.until))

    def on(self, day: date) -> Query:
        """Return the query as it is when asked on another day."""
        return self if self.days is None else replace(self, since=day - timedelta(days=self.days))

    @property
    def keys(self) -> dict[str, str]:
        """What to ask a PACS at the study level, by DICOM keyword; empty is any."""
        return {
            "PatientID": self.patient_id,
            "AccessionNumber": self.accession,
            "StudyInstanceUID": self.study_uid,
            "StudyDescription": self.description,
            "StudyDate": self.dates,
            "ModalitiesInStudy": self.modality,
        }

    def matches(self, answer: Mapping[str, str]) -> bool:
        """Tell whether an answer is what was asked for: some PACS ignore a key and send every patient."""
        first, last = (day.strftime("%Y%m%d") if day else "" for day in (self.since, self.until))
        day = answer.get("StudyDate", "")
        if self.dates and not (day and first <= day and (not last or day <= last)):
            return False
        pattern = re.escape(self.description.casefold()).replace(r"\*", ".*").replace(r"\?", ".")
        if self.description and not re.fullmatch(pattern, answer.get("StudyDescription", "").casefold()):
            return False
        exact = ("PatientID", "AccessionNumber", "StudyInstanceUID")
        return all(self.keys[name] in ("", answer.get(name)) for name in exact)


@dataclass(frozen=True)
class SeriesFacts:
    """What a PACS tells about a series; `instances` is None where it does not count them."""

    uid: str = field(repr=False)
    modality: str = ""
    description: str = field(default="", repr=False)
    manufacturer: str = ""
    instances: int | None = None


@dataclass(frozen=True)
class StudyFacts:
    """What a PACS tells about a study. Fetching takes the series named here: leave out what is not wanted."""

    uid: str = field(repr=False)
    instances: int | None = None
    series: tuple[SeriesFacts, ...] = ()
    mark: str = ""  # under which `changes` tells it again; shows neither UID nor patient

    @property
    def key(self) -> str:
        """A name for logs and messages that does not show the UID."""
        return hashed(self.uid)[:16]


@dataclass(frozen=True)
class PushReport:
    """What became of each file that was sent; sending all again is safe: the PACS keeps one of each."""

    stored: tuple[Path, ...] = ()
    already: tuple[Path, ...] = ()
    failed: Mapping[Path, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether the PACS holds every file now."""
        return not self.failed


@dataclass(frozen=True)
class Changes:
    """Studies whose images are complete and have not been told before, and where to go on from."""

    studies: tuple[StudyFacts, ...]
    cursor: str


@dataclass(frozen=True)
class Wanted:
    """Which arrivals `changes` tells, and when.

    `again` has the marks of studies that were told but not taken, each with the time (s) since which.
    """

    query: Query = Query()
    stable_s: float | None = None  # complete is what did not change for so long; None: as the PACS has it
    again: Mapping[str, float] = field(default_factory=dict)


class Pacs(Protocol):
    """An archive of studies. Every method raises StudyError where the PACS fails, ConfigError where we do."""

    def check(self) -> None:
        """Return when the PACS answers and lets us in."""

    def find(self, query: Query) -> list[StudyFacts]:
        """Return the studies that match, each with those of its series that are wanted."""

    def fetch(self, study: StudyFacts, folder: Path) -> list[Path]:
        """Write the named series into folder, one file an instance; return all, or raise StudyError."""

    def push(self, files: Sequence[Path]) -> PushReport:
        """Send DICOM files; what the PACS holds already counts as success."""

    def changes(self, cursor: str | None, wanted: Wanted = Wanted()) -> Changes:
        """Return what became complete since cursor; None is from now on, "" from the beginning.

        A study comes again when images joined it, and may come twice after a crash: take it by its content.
        One that is in `wanted.again` comes again as soon as it is complete, with what it holds by then.
        """


def hashed(uid: str) -> str:
    """Return the name under which a UID may appear in paths and messages."""
    return hashlib.sha256(uid.encode()).hexdigest()


def is_uid(text: str) -> bool:
    """Tell whether text is a UID as PS3.5 9.1 writes it; nothing else goes into a URL.

    >>> is_uid("1.2.840.10008.1.1"), is_uid("../1.2")
    (True, False)
    """
    return len(text) <= UID_LENGTH and UID.fullmatch(text) is not None
