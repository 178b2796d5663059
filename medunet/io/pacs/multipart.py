"""multipart/related both ways (RFC 2387), a piece at a time: no series is ever held whole."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from email.message import Message
from itertools import chain
from pathlib import Path

from medunet.io.pacs.retries import TransientError

HEADER_BYTES = 2**14  # of one part
CHUNK_BYTES = 2**20


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary that a content type names; None where it is no multipart.

    >>> boundary_of('multipart/related; type="application/dicom"; boundary="a b"')
    b'a b'
    """
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_boundary() if message.get_content_maintype() == "multipart" else None
    return boundary.encode() if boundary else None


def parts(chunks: Iterable[bytes], boundary: bytes) -> Iterator[Iterator[bytearray]]:
    """Yield the content of each part, piece by piece; TransientError without the closing boundary."""
    buffer = _Buffer(chain([b"\r\n"], chunks))
    mark = b"\r\n--" + boundary
    buffer.skip(mark)
    while buffer.peek(2) != b"--":
        buffer.skip(b"\r\n\r\n", HEADER_BYTES)
        part = buffer.until(mark)
        yield part
        for _ in part:  # what the caller left unread
            pass


class _Buffer:
    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = bytearray()

    def until(self, mark: bytes) -> Iterator[bytearray]:
        """Yield what lies before mark, then step over it; holds a chunk at most."""
        while (at := self._held.find(mark)) < 0:
            ready = len(self._held) - len(mark) + 1  # a mark may begin in what is held
            if ready > 0:
                yield self._held[:ready]
                del self._held[:ready]
            self._more()
        yield self._held[:at]
        del self._held[: at + len(mark)]

    def skip(self, mark: bytes, most: int | None = None) -> None:
        size = 0
        for piece in self.until(mark):
            size += len(piece)
            if most is not None and size > most:
                raise TransientError("a part of the answer has a header without end")

    def peek(self, size: int) -> bytes:
        while len(self._held) < size:
            self._more()
        return bytes(self._held[:size])

    def _more(self) -> None:
        chunk = next(self._chunks, None)
        if chunk is None:
            raise TransientError("the answer ends in the middle of an instance")
        self._held += chunk


class DicomParts:
    """The body that stores files; it can be read again and again, so that a request can be repeated."""

    def __init__(self, files: Sequence[Path]) -> None:
        """Look at the sizes only; the files are read while they are sent."""
        self._files = tuple(files)
        boundary = secrets.token_hex(16)
        self.content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
        self._head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._tail = f"--{boundary}--\r\n".encode()
        sizes = [path.stat().st_size for path in self._files]
        self.size = sum(len(self._head) + size + 2 for size in sizes) + len(self._tail)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the whole body, from its beginning."""
        for path in self._files:
            yield self._head
            with path.open("rb") as stream:
                while piece := stream.read(CHUNK_BYTES):
                    yield piece
            yield b"\r\n"
        yield self._tail
