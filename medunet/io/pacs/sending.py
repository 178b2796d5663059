"""C-STORE (PS3.4 B): files to a PACS as they are, over several associations."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pynetdicom.association import Association

from medunet.errors import StudyError
from medunet.io.pacs.address import PacsAddress
from medunet.io.pacs.associations import association, context
from medunet.io.pacs.filemeta import FileMeta, read_metas
from medunet.io.pacs.records import Limits, PushReport
from medunet.io.pacs.retries import TransientError, retried

MOST_CONTEXTS = 128  # of one association, PS3.8 9.3.2.2
STORED = (0x0000, 0xB000, 0xB006, 0xB007)  # success and warnings, PS3.4 Table B.2-1
ALREADY_STORED = 0x0111  # duplicate SOP instance, PS3.7 C.5.7
BUSY = range(0xA700, 0xA800)  # out of resources
Kind = tuple[str, str]  # SOP class and transfer syntax


def send(address: PacsAddress, limits: Limits, files: Sequence[Path]) -> PushReport:
    """Send files and tell what became of each; connections that fail are made again, a few times."""
    metas, failed = read_metas(files)
    kinds = sorted({_kind(meta) for meta in metas.values()})
    sender = _Sender(address, limits, failed)
    for first in range(0, len(kinds), MOST_CONTEXTS):
        some = kinds[first : first + MOST_CONTEXTS]
        sender.send([path for path, meta in metas.items() if _kind(meta) in some], some)
    return PushReport(tuple(sender.stored), tuple(sender.already), sender.failed)


def _kind(meta: FileMeta) -> Kind:
    return meta.sop_class, meta.syntax


class _Sender:
    def __init__(self, address: PacsAddress, limits: Limits, failed: dict[Path, str]) -> None:
        self._address = address
        self._limits = limits
        self._lock = threading.Lock()
        self.stored: list[Path] = []
        self.already: list[Path] = []
        self.failed = failed

    def send(self, files: Sequence[Path], kinds: Sequence[Kind]) -> None:
        waiting = deque(files)
        why = ""
        for lanes in (self._address.connections, 1):  # alone where the PACS has no room for several
            if waiting:
                why = self._together(lanes, waiting, kinds)
        self.failed.update(dict.fromkeys(waiting, why))

    def _together(self, lanes: int, waiting: deque[Path], kinds: Sequence[Kind]) -> str:
        """Send over several associations, of which some may give up; return why one did."""
        why = "not sent"
        with ThreadPoolExecutor(lanes) as pool:
            tasks = [
                pool.submit(retried, lambda: self._lane(waiting, kinds))
                for _ in range(min(lanes, len(waiting)))
            ]
            for task in tasks:
                try:
                    task.result()
                except StudyError as error:
                    why = str(error)
        return why

    def _lane(self, waiting: deque[Path], kinds: Sequence[Kind]) -> None:
        """Send what waits over one association; a file that could not be sent waits again."""
        if not waiting:
            return
        contexts = [context(sop_class, syntax) for sop_class, syntax in kinds]
        with association(self._address, contexts, self._limits) as opened:
            while True:
                try:
                    path = waiting.popleft()
                except IndexError:
                    return
                try:
                    self._one(opened, path)
                except BaseException:
                    waiting.append(path)
                    raise

    def _one(self, opened: Association, path: Path) -> None:
        try:
            status = opened.send_c_store(path)
        except ValueError:  # no context for it
            self.failed[path] = "the PACS does not take this kind of object (SOP class, transfer syntax)"
            return
        except (RuntimeError, AttributeError):  # the association ended between two instances
            raise TransientError(f"{self._address}: the association broke off") from None
        code = status.get("Status")
        if code is None:  # pynetdicom gives an empty status where the answer did not come
            raise TransientError(f"{self._address}: no answer to a C-STORE")
        if code in BUSY:
            raise TransientError(f"{self._address}: out of resources, status 0x{code:04X}")
        with self._lock:
            if code in STORED:
                self.stored.append(path)
            elif code == ALREADY_STORED:
                self.already.append(path)
            else:
                self.failed[path] = f"refused by the PACS, status 0x{code:04X} (PS3.4 Table B.2-1)"
