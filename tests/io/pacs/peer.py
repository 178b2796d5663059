"""A DIMSE archive on loopback, which can misbehave: C-ECHO, C-FIND, C-GET, C-MOVE, C-STORE."""

from __future__ import annotations

import io
import ssl
import threading
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RLELossless, SegmentationStorage
from pynetdicom import AE, build_context, evt

from medunet.io.pacs.associations import ECHO, FIND, GET, MOVE, guards
from medunet.io.pacs.records import Limits
from tests.io.pacs.archive import Archive

CLASSES = (CTImageStorage, SegmentationStorage)
SYNTAXES = (ExplicitVRLittleEndian, RLELossless)


class Peer:
    """Serves an archive as AE ARCHIVE; every C-STORE takes the next of `faults`."""

    def __init__(self, archive: Archive, *, get: bool = True, tls: ssl.SSLContext | None = None) -> None:
        self.archive = archive
        self.faults: deque[str] = deque()
        self.receivers: dict[str, tuple[str, int]] = {}
        self.moves: deque[str] = deque()
        self.opened = Counter[str]()
        self.extra: list[Dataset] = []  # more answers to every C-FIND
        self.client_tls: tuple[ssl.SSLContext, str] | None = None
        self._lock = threading.Lock()
        ours = AE(ae_title="ARCHIVE")
        ours.require_called_aet = True
        ours.maximum_associations = 20
        ours.dimse_timeout = 1
        self.entity = ours
        for service in (ECHO, FIND, MOVE, *([GET] if get else [])):
            ours.add_supported_context(service)
        for kind in CLASSES:
            ours.add_supported_context(kind, list(SYNTAXES), scu_role=True, scp_role=True)
        self._server = ours.start_server(
            ("127.0.0.1", 0),
            block=False,
            ssl_context=tls,
            evt_handlers=[
                *guards(Limits()),
                (evt.EVT_ESTABLISHED, lambda event: self.opened.update([event.assoc.remote["ae_title"]])),
                (evt.EVT_C_FIND, self._find),
                (evt.EVT_C_MOVE, self._move),
                (evt.EVT_C_GET, self._get),
                (evt.EVT_C_STORE, self._store),
            ],
        )

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def close(self) -> None:
        self._server.shutdown()
        for association in self._server.active_associations:
            association.abort()
            association.join(5)

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        asked = event.identifier
        if asked.QueryRetrieveLevel == "STUDY":
            answers = self.archive.studies({e.keyword: str(e.value or "") for e in asked})
        else:
            answers = self.archive.series(str(asked.StudyInstanceUID))
        for answer in [*answers, *self.extra]:
            answer.QueryRetrieveLevel = asked.QueryRetrieveLevel
            yield 0xFF00, answer

    def _instances(self, asked: Dataset) -> list[Dataset]:
        uids = self.archive.of(str(asked.StudyInstanceUID), str(asked.SeriesInstanceUID))
        return [pydicom.dcmread(io.BytesIO(self.archive.files[uid])) for uid in uids]

    def _move(self, event: evt.Event) -> Iterator[Any]:
        fault = self.moves.popleft() if self.moves else ""
        host, port = self.receivers.get(event.move_destination, (None, None))
        if fault == "lost":
            event.assoc.abort()
        if host is None or fault == "lost":
            yield None, None
            return
        found = self._instances(event.identifier)
        kinds = {(d.SOPClassUID, d.file_meta.TransferSyntaxUID) for d in found}
        contexts = [build_context(*kind) for kind in sorted(kinds)]
        yield (
            host,
            port,
            {
                "contexts": contexts,
                "tls_args": self.client_tls,
                "evt_handlers": guards(Limits()),
            },
        )
        yield len(found) - (fault == "fewer")
        for number, dataset in enumerate(found):
            if fault == "fails" and number == 1:
                dataset.SOPClassUID = "1.2.3"  # cannot be sent
            if fault != "fewer" or number != 1:
                yield 0xFF00, dataset

    def _get(self, event: evt.Event) -> Iterator[Any]:
        found = self._instances(event.identifier)
        yield len(found)
        for dataset in found:
            yield 0xFF00, dataset

    def _store(self, event: evt.Event) -> int:
        with self._lock:
            fault = self.faults.popleft() if self.faults else ""
        if fault == "abort":
            event.assoc.abort()
            return 0xC000
        if fault:
            return int(fault, 16)
        return 0 if self.archive.add(event.encoded_dataset()) == "stored" else 0x0111
