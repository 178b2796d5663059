"""A PACS over DICOMweb (PS3.18): QIDO-RS to find, WADO-RS to fetch, STOW-RS to push."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from medunet.errors import DataError, StudyError
from medunet.io.pacs import arrivals
from medunet.io.pacs.address import PacsAddress
from medunet.io.pacs.filemeta import FileMeta, read_metas
from medunet.io.pacs.landing import Landing
from medunet.io.pacs.multipart import DicomParts, boundary_of, parts
from medunet.io.pacs.records import (
    Changes,
    Limits,
    PushReport,
    Query,
    SeriesFacts,
    StudyFacts,
    Wanted,
    is_uid,
)
from medunet.io.pacs.retries import TransientError, each_retried, retried
from medunet.io.pacs.web import Parameters, Web, chunks

PAGE = 500  # answers asked for at once
BATCH_FILES, BATCH_BYTES = 25, 2**25  # of one upload
MULTIPART = 'multipart/related; type="application/dicom"; transfer-syntax=*'  # as stored, not converted
ALREADY_STORED = 0x0111  # duplicate SOP instance, PS3.7 C.5.7
STUDY_UID, SERIES_UID, SOP_UID = "0020000D", "0020000E", "00081155"
MODALITY, DESCRIPTION, MANUFACTURER = "00080060", "0008103E", "00080070"
STUDY_INSTANCES, SERIES_INSTANCES = "00201208", "00201209"
ANSWERS = {
    "PatientID": "00100020",
    "AccessionNumber": "00080050",
    "StudyInstanceUID": STUDY_UID,
    "StudyDescription": "00081030",
    "StudyDate": "00080020",
}
STORED, FAILED, REASON = "00081199", "00081198", "00081197"
Json = Mapping[str, Any]


class DicomWebPacs:
    """A PACS at a DICOMweb root; find, fetch, push and changes as `records.Pacs` says."""

    def __init__(self, address: PacsAddress, limits: Limits = Limits(), root: str = "") -> None:  # noqa: B008 - frozen
        """Nothing is sent yet. `root` leads from the address to the service, such as dicom-web/."""
        self.address = address
        self._limits = limits
        self._root = root
        self._web = Web(address, limits)

    def check(self) -> None:
        """Return when the PACS answers and lets us in."""
        self._web.json(f"{self._root}studies", [("limit", "1")])

    def find(self, query: Query) -> list[StudyFacts]:
        """Return the studies that match, each with those of its series that are wanted."""
        return arrivals.find(self, query, self._limits)

    def changes(self, cursor: str | None, wanted: Wanted = Wanted()) -> Changes:  # noqa: B008 - frozen
        """Return what became complete since cursor, by polling: DICOMweb has no list of changes."""
        return arrivals.poll(self, cursor, wanted)

    def studies(self, query: Query) -> Iterator[StudyFacts]:
        """Yield the studies that match, without their series (QIDO-RS)."""
        wanted = [(name, _unescaped(value)) for name, value in query.keys.items() if value]
        fields = [("includefield", tag) for tag in (STUDY_INSTANCES, ANSWERS["StudyDescription"])]
        for item in self._pages("studies", [*wanted, *fields], STUDY_UID):
            if query.matches({name: _text(item, tag) for name, tag in ANSWERS.items()}):
                yield StudyFacts(_text(item, STUDY_UID), _number(item, STUDY_INSTANCES))

    def series(self, study: StudyFacts) -> tuple[SeriesFacts, ...]:
        """Return all series of a study (QIDO-RS)."""
        fields = [("includefield", tag) for tag in (DESCRIPTION, MANUFACTURER, SERIES_INSTANCES)]
        return tuple(
            SeriesFacts(
                _text(item, SERIES_UID),
                _text(item, MODALITY),
                _text(item, DESCRIPTION),
                _text(item, MANUFACTURER),
                _number(item, SERIES_INSTANCES),
            )
            for item in self._pages(f"studies/{study.uid}/series", fields, SERIES_UID)
        )

    def _pages(self, path: str, parameters: Parameters, identity: str) -> Iterator[Json]:
        """Yield every answer once; some servers give fewer than asked for, others ignore the offset."""
        seen: set[str] = set()
        while True:
            page = [("limit", str(PAGE)), ("offset", str(len(seen)))]
            items = self._web.json(self._root + path, [*parameters, *page]) or []
            if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise StudyError(
                    f"{self.address}: the answer is no list of DICOM JSON; is this the DICOMweb root?"
                )
            fresh = {_text(item, identity): item for item in items}
            fresh = {uid: item for uid, item in fresh.items() if uid not in seen}
            seen |= fresh.keys()
            yield from (item for uid, item in fresh.items() if is_uid(uid))
            if not fresh:
                return

    def fetch(self, study: StudyFacts, folder: Path) -> list[Path]:
        """Write the named series (without any: all scans) into folder, several at a time (WADO-RS)."""
        landing = Landing(folder, self._limits)
        wanted = study.series or tuple(filter(arrivals.is_scan, self.series(study)))
        with ThreadPoolExecutor(self.address.connections) as pool:
            each_retried(pool, [partial(self._series, study, series, landing) for series in wanted])
        return landing.files

    def _series(self, study: StudyFacts, series: SeriesFacts, landing: Landing) -> None:
        path = f"{self._root}studies/{study.uid}/series/{series.uid}"
        arrived = set()
        with self._web.open("GET", path, accept=MULTIPART) as answer:
            content = chunks(answer, self.address)
            boundary = boundary_of(answer.headers.get("content-type", ""))
            try:
                for part in parts(content, boundary) if boundary else [content]:
                    arrived.add(landing.add(part))
            except DataError:
                raise StudyError(
                    f"{self.address}: study {study.key} holds a part that is no DICOM file"
                ) from None
            except OSError as error:
                raise TransientError(
                    f"{landing.folder}: cannot be written ({error.strerror}); make room"
                ) from None
        if series.instances is not None and len(arrived) < series.instances:
            number = f"{len(arrived)} of {series.instances} instances of a series"
            raise TransientError(f"{self.address}: study {study.key}: {number} arrived; fetch it again")

    def push(self, files: Sequence[Path]) -> PushReport:
        """Send DICOM files, several batches at a time (STOW-RS)."""
        metas, failed = read_metas(files)
        with ThreadPoolExecutor(self.address.connections) as pool:
            reports = list(pool.map(self._batch, batches(metas)))
        return merged([PushReport(failed=failed), *reports])

    def _batch(self, batch: Mapping[Path, FileMeta]) -> PushReport:
        try:
            answer = retried(lambda: self._store(list(batch)))
        except StudyError as error:
            return PushReport(failed=dict.fromkeys(batch, str(error)))
        return _report(batch, answer)

    def _store(self, files: Sequence[Path]) -> Any:
        body = DicomParts(files)
        headers = {"content-type": body.content_type, "content-length": str(body.size)}
        with self._web.open(
            "POST",
            f"{self._root}studies",
            accept="application/dicom+json",
            body=body,
            headers=headers,
            allowed=(200, 202, 409),
        ) as answer:
            return self._web.read_json(answer)


def _unescaped(value: str) -> str:
    """Return a pattern that needs no escapes in a URL: Orthanc's plugin (1.7) does not resolve them.

    What it matches too much, `Query.matches` takes out.

    >>> _unescaped("A 1^B*")
    'A*1*B*'
    """
    return re.sub(r"[^A-Za-z0-9._~*?-]+", "*", value)


def batches(metas: Mapping[Path, FileMeta]) -> Iterator[dict[Path, FileMeta]]:
    """Yield groups of at most `BATCH_FILES`, and of `BATCH_BYTES` unless a file is larger alone."""
    batch: dict[Path, FileMeta] = {}
    size = 0
    for path, meta in metas.items():
        length = path.stat().st_size
        if batch and (len(batch) == BATCH_FILES or size + length > BATCH_BYTES):
            yield batch
            batch, size = {}, 0
        batch[path] = meta
        size += length
    if batch:
        yield batch


def merged(reports: Sequence[PushReport]) -> PushReport:
    """Return one report for all."""
    return PushReport(
        tuple(path for report in reports for path in report.stored),
        tuple(path for report in reports for path in report.already),
        {path: why for report in reports for path, why in report.failed.items()},
    )


def _report(batch: Mapping[Path, FileMeta], answer: Any) -> PushReport:
    """Read a STOW-RS answer (PS3.18 10.5.3): what it does not name was not stored."""
    answer = answer if isinstance(answer, dict) else {}
    stored = {_text(item, SOP_UID) for item in _items(answer, STORED)}
    reasons = {_text(item, SOP_UID): _number(item, REASON) for item in _items(answer, FAILED)}
    already = {uid for uid, reason in reasons.items() if reason == ALREADY_STORED}
    failed = {
        path: f"refused by the PACS, reason 0x{reasons[meta.uid] or 0:04X} (PS3.4 Table B.2-1)"
        if meta.uid in reasons
        else "the PACS does not say that it stored this"
        for path, meta in batch.items()
        if meta.uid not in stored | already
    }
    return PushReport(
        tuple(path for path, meta in batch.items() if meta.uid in stored),
        tuple(path for path, meta in batch.items() if meta.uid in already - stored),
        failed,
    )


def _items(item: Json, tag: str) -> list[Json]:
    values = _values(item, tag)
    return [value for value in values if isinstance(value, dict)]


def _values(item: Json, tag: str) -> list[Any]:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _text(item: Json, tag: str) -> str:
    return next((str(value) for value in _values(item, tag)), "")


def _number(item: Json, tag: str) -> int | None:
    try:
        return int(_text(item, tag))
    except ValueError:
        return None
