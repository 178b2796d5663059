from __future__ import annotations

import email
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from medunet.io.pacs.multipart import DicomParts, boundary_of, parts
from medunet.io.pacs.retries import TransientError

TRICKY = [b"\r\n--b", b"", b"--bb--", b"\r\n\r\n--b", b"x" * 1000, b"--b\r", b"\r\n--bc", bytes(range(256))]


def encode(contents: list[bytes], header: bytes = b"Content-Type: application/dicom\r\n") -> bytes:
    body = b"".join(b"--bound\r\n" + header + b"\r\n" + content + b"\r\n" for content in contents)
    return body + b"--bound--\r\n"


@pytest.mark.parametrize("header", [b"", b"A: b\r\n", b"A: b\r\nContent-Length: 5\r\n"])
@pytest.mark.parametrize("before", [b"", b"\r\n", b"to be ignored\r\n"])
def test_parts_are_found_however_the_stream_is_cut(header: bytes, before: bytes) -> None:
    whole = before + encode(TRICKY, header)
    draw = random.Random(0)
    for size in (1, 2, 3, 7, 64, len(whole)):
        chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
        assert [b"".join(part) for part in parts(chunks, b"bound")] == TRICKY
    for _ in range(50):
        at = sorted(draw.sample(range(len(whole)), 5))
        chunks = [whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)]
        assert [b"".join(part) for part in parts(chunks, b"bound")] == TRICKY


def test_a_part_may_be_left_unread_and_what_follows_the_end_is_ignored() -> None:
    seen = [next(part) for part in parts([encode([b"abc", b"def"]) + b"more"], b"bound")]
    assert seen == [b"abc", b"def"]


def test_a_stream_that_ends_early_is_never_a_scan() -> None:
    whole = encode([b"abc" * 10, b"def"])
    for end in range(len(whole) - len(b"--\r\n")):
        with pytest.raises(TransientError):
            for part in parts([whole[:end]], b"bound"):
                b"".join(part)


def test_a_header_without_end_is_refused_before_it_fills_memory() -> None:
    def endless() -> object:
        yield b"--bound\r\n"
        for _ in range(100):
            yield b"A: b\r\n" * 1000
        raise AssertionError("read on")

    with pytest.raises(TransientError, match="header"):
        list(parts(endless(), b"bound"))


def test_the_boundary_comes_from_the_content_type() -> None:
    assert boundary_of("multipart/related; boundary=abc; type=x") == b"abc"
    assert boundary_of('Multipart/Related; type="application/dicom"; BOUNDARY="a;b"') == b"a;b"
    assert boundary_of("application/dicom") is boundary_of("") is boundary_of("multipart/related") is None


def test_what_is_sent_is_read_by_another_parser_and_can_be_read_twice(make_series: Callable) -> None:
    files: list[Path] = sorted(make_series().iterdir())
    body = DicomParts(files)
    whole = b"".join(body)
    assert whole == b"".join(body)
    assert len(whole) == body.size
    message = email.message_from_bytes(b"Content-Type: " + body.content_type.encode() + b"\r\n\r\n" + whole)
    found = [part.get_payload(decode=True) for part in message.get_payload()]
    # the e-mail parser splits lines: compare where it cannot have changed anything
    assert [part.get_content_type() for part in message.get_payload()] == ["application/dicom"] * len(files)
    assert [len(content) for content in found] == [path.stat().st_size for path in files]
    boundary = boundary_of(body.content_type)
    assert [b"".join(part) for part in parts([whole], boundary)] == [path.read_bytes() for path in files]
