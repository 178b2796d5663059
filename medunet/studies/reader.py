"""Reading in a limited child process: a file that crashes, hangs or eats memory costs only itself."""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import reduction
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from medunet.errors import MedunetError, StudyError
from medunet.io.dicom.geometry import Irregular
from medunet.io.facts import Facts
from medunet.io.volume import Array, Volume
from medunet.studies.identity import without_identity
from medunet.studies.message import unpack_volume
from medunet.studies.task import Image

CHILD = (sys.executable, "-m", "medunet.studies.child")
TRIES = 3
LONGEST_ANSWER = 2**28  # bytes of JSON
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
SCAN_BYTES_PER_S, SCAN_FILE_S = 20e6, 0.05  # for files that are only looked at, on a slow drive
START_S = 120.0  # more than importing ever takes, on a machine that is busy


class ReadingDiedError(MedunetError):
    """The reading process crashed, hung or ran out of memory: not a fault that the file's format explains."""


@dataclass(frozen=True)
class ReadLimits:
    """What reading one study may cost."""

    memory_gb: float = 8.0
    seconds: float = 300.0


class Reader:
    """The parent's side; the child is started when it is needed, and again when it has died."""

    def __init__(self, limits: ReadLimits, command: Sequence[str] = CHILD) -> None:
        """Start nothing yet."""
        self.limits, self.command = limits, command
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self.ended = False  # by `kill`

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the child."""
        self.close()

    def scan(self, files: Sequence[Path]) -> dict[str, Any]:
        """Return {images: [{files, study, series, content, dicom, part}], left: [{path, reason}]}.

        The time it may take grows with their number and size.
        """
        more = sum(map(size_of, files)) / SCAN_BYTES_PER_S + len(files) * SCAN_FILE_S
        return self._ask({"do": "scan", "files": [str(file) for file in files]}, files, more)[0]

    def facts(self, image: Image, irregular: Irregular = "error") -> Facts:
        """Return what an image says about itself; StudyError if it cannot be read."""
        request = {"do": "facts", "image": _named(image), "irregular": irregular}
        values, _ = self._ask(request, image.paths)
        lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        return Facts(**values | lists)

    def read(
        self,
        images: Sequence[Image],
        channels: int,
        pixel_mm: float | None,
        irregular: Irregular = "error",
    ) -> tuple[Volume, list[str]]:
        """Return the volume of some images and the SHA-256 of each; StudyError if it cannot be read."""
        paths = [path for image in images for path in image.paths]
        request: dict[str, Any] = {"do": "read", "images": [_named(image) for image in images]}
        request |= {"channels": channels, "pixel_mm": pixel_mm, "irregular": irregular}
        values, array = self._ask(request, paths)
        if array is None:
            raise ReadingDiedError("the reading process gave no voxels")
        return unpack_volume(values["volume"], array), values["sha256"]

    def close(self) -> None:
        """End the child."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._connection = self._process = None

    def kill(self) -> None:
        """End the child from another thread; what was asked of it raises ReadingDiedError."""
        self.ended = True
        if (process := self._process) is not None:
            process.kill()

    def _ask(
        self, request: dict[str, Any], paths: Sequence[Path], more_seconds: float = 0.0
    ) -> tuple[dict[str, Any], Array | None]:
        reply, array = self._exchange(request, self.limits.seconds + more_seconds)
        if "error" in reply:
            reason = without_identity(reply["error"], paths)
            if reply["kind"] == "data":
                raise StudyError(reason)
            limit = f" ({self.limits.memory_gb:g} GB)" if reply["kind"] == "memory" else ""
            raise ReadingDiedError(reason + limit)
        return reply, array

    def _exchange(self, request: dict[str, Any], seconds: float) -> tuple[dict[str, Any], Array | None]:
        """Send a request and return the answer; a child that dies is given two more chances.

        The system may have killed it for another process's hunger; a file that crashes it does so each time.
        """
        for tries_left in reversed(range(TRIES)):
            try:
                connection = self._connection or self._start()
                connection.send_bytes(json.dumps(request).encode())
                if not connection.poll(seconds):
                    raise TimeoutError
                reply = json.loads(connection.recv_bytes(LONGEST_ANSWER))
                return reply, self._array(connection, reply.pop("array")) if "array" in reply else None
            except TimeoutError:
                self.close()
                raise ReadingDiedError(f"reading took longer than {seconds:.0f} s") from None
            except (EOFError, OSError, ValueError):
                how = self._last_words()
                if self.ended or not tries_left:
                    raise ReadingDiedError(how) from None
        raise AssertionError

    def _start(self) -> Connection:
        mine, theirs = socket.socketpair()
        memory = str(int(self.limits.memory_gb * 1e9))
        with theirs:
            self._process = subprocess.Popen(
                [*self.command, str(theirs.fileno()), memory],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # libraries print paths and names
                env=os.environ | ONE_THREAD,
            )
        self._connection = Connection(mine.detach())
        if not self._connection.poll(START_S):
            raise TimeoutError
        self._connection.recv_bytes()  # it has imported what it needs
        return self._connection

    def _last_words(self) -> str:
        """Return how the child ended, and clear up."""
        code = 0
        if self._process is not None:
            try:
                code = self._process.wait(1.0)
            except subprocess.TimeoutExpired:
                code = 0
        self.close()
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        return f"the reading process died ({how})"

    @staticmethod
    def _array(connection: Connection, about: dict[str, Any]) -> Array:
        """Return the voxels that the child shares, without a copy; freed with the array."""
        handle = reduction.recv_handle(connection)
        try:
            memory = mmap.mmap(handle, 0)
        finally:
            os.close(handle)
        shape, dtype = tuple(about["shape"]), np.dtype(about["dtype"])
        count = int(np.prod(shape))
        stored = np.frombuffer(memory, dtype, count).reshape(shape)
        return stored.transpose(np.argsort(about["order"]))


def size_of(path: Path) -> int:
    """Return the bytes of a file; 0 where that is not known."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _named(image: Image) -> dict[str, Any]:
    return {"files": [str(path) for path in image.paths], "part": image.part}
