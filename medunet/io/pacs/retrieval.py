"""C-GET and C-MOVE (PS3.4 C.4.2, C.4.3): the series of a study into a folder."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from medunet.errors import ConfigError, StudyError
from medunet.io.pacs.address import PacsAddress
from medunet.io.pacs.associations import GET, MOVE, RETRIEVE_S, association, context
from medunet.io.pacs.landing import Landing
from medunet.io.pacs.receiver import CLASSES, on_store, receiving, storage_contexts, storage_roles
from medunet.io.pacs.records import Limits, SeriesFacts, StudyFacts
from medunet.io.pacs.retries import TransientError, each_retried

PENDING = 0xFF00
UNKNOWN_DESTINATION = 0xA801  # PS3.4 Table C.4-2


class Retrieval:
    """Fetches series; C-GET where the PACS offers it and no port need be opened, else C-MOVE."""

    def __init__(self, address: PacsAddress, limits: Limits) -> None:
        """Nothing is sent yet."""
        self._address = address
        self._limits = limits
        self._one_receiver = threading.Lock()

    def fetch(self, study: StudyFacts, wanted: Sequence[SeriesFacts], folder: Path) -> list[Path]:
        """Write the wanted series into folder and return the files; StudyError unless all arrived."""
        landing = Landing(folder, self._limits)
        ways = self._ways(wanted)
        with ExitStack() as stack:
            if "move" in ways.values():
                stack.enter_context(self._one_receiver)
                stack.enter_context(receiving(self._address, landing))
            pool = stack.enter_context(ThreadPoolExecutor(self._address.connections))
            each_retried(pool, [partial(self._series, ways[s], study, s, landing) for s in wanted])
        expected = sum(series.instances or 0 for series in wanted)
        if len(landing.files) < expected:
            number = f"{len(landing.files)} of {expected} instances"
            raise TransientError(f"{self._address}: study {study.key}: {number} arrived; fetch it again")
        return landing.files

    def _ways(self, wanted: Sequence[SeriesFacts]) -> dict[SeriesFacts, str]:
        """Return get or move for each series."""
        asked = self._address.retrieve
        if asked == "auto":
            asked = "get" if any(s.modality in CLASSES for s in wanted) and self._offers_get() else "move"
            return {s: asked if s.modality in CLASSES else "move" for s in wanted}
        if asked == "get" and not all(s.modality in CLASSES for s in wanted):
            known = ", ".join(CLASSES)
            raise StudyError(
                f"{self._address}: C-GET works for the modalities {known} only; use retrieve=move"
            )
        return dict.fromkeys(wanted, asked)

    def _offers_get(self) -> bool:
        try:
            with association(self._address, [context(GET)], self._limits):
                return True
        except TransientError:  # not offered, or out of reach: then the C-MOVE says so
            return False

    def _series(self, way: str, study: StudyFacts, series: SeriesFacts, landing: Landing) -> None:
        if landing.refusal:
            raise landing.refusal
        wanted = Dataset()
        wanted.QueryRetrieveLevel = "SERIES"
        wanted.StudyInstanceUID = study.uid
        wanted.SeriesInstanceUID = series.uid
        try:
            (self._get if way == "get" else self._move)(wanted, series, landing)
        except TransientError:
            if landing.refusal:  # we broke it off ourselves
                raise landing.refusal from None
            raise

    def _get(self, wanted: Dataset, series: SeriesFacts, landing: Landing) -> None:
        contexts = [context(GET), *storage_contexts(series.modality)]
        roles = storage_roles(series.modality)
        with association(
            self._address,
            contexts,
            self._limits,
            roles=roles,
            handlers=[on_store(landing)],
            excess=landing.excess,
        ) as opened:
            opened.dimse_timeout = RETRIEVE_S
            self._follow(opened.send_c_get(wanted, GET), series, landing)

    def _move(self, wanted: Dataset, series: SeriesFacts, landing: Landing) -> None:
        with association(self._address, [context(MOVE)], self._limits) as opened:
            opened.dimse_timeout = RETRIEVE_S
            self._follow(opened.send_c_move(wanted, self._address.our_title, MOVE), series, landing)

    def _follow(self, answers: Iterable[tuple[Dataset, Any]], series: SeriesFacts, landing: Landing) -> None:
        """Wait for the last answer; TransientError where an instance did not come."""
        last = Dataset()
        for status, _ in answers:
            if landing.refusal:
                raise landing.refusal
            last = status
        code, sent = last.get("Status"), last.get("NumberOfCompletedSuboperations")
        if code == UNKNOWN_DESTINATION:
            title, port = self._address.our_title, self._address.receive[1]
            raise ConfigError(
                f"{self._address}: it does not know our AE title {title}; enter it there with our port {port}"
            )
        if code is None or code == PENDING:
            raise TransientError(f"{self._address}: the association broke off during the transfer")
        missing = last.get("NumberOfFailedSuboperations") or 0
        if sent is not None and series.instances is not None:
            missing = max(missing, series.instances - sent - (last.get("NumberOfWarningSuboperations") or 0))
        if code != 0 or missing:
            raise TransientError(
                f"{self._address}: transfer ended with status 0x{code:04X}, {missing} instances missing"
            )
