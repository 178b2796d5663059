"""The file meta group of a DICOM file (PS3.10 7.1): what the protocols need, and nothing that recurses."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from medunet.errors import DataError
from medunet.io.pacs.records import UID_LENGTH

HEAD_BYTES = 2**16  # the group lies within; real ones have some 200 bytes
START = 132  # preamble and DICM
LONG = (
    b"OB",
    b"OD",
    b"OF",
    b"OL",
    b"OV",
    b"OW",
    b"SQ",
    b"SV",
    b"UC",
    b"UN",
    b"UR",
    b"UT",
    b"UV",
)  # PS3.5 7.1.2
CLASS, INSTANCE, SYNTAX = 0x0002, 0x0003, 0x0010  # elements of group 0002


@dataclass(frozen=True)
class FileMeta:
    """Which object a file holds, and how it is encoded."""

    sop_class: str
    uid: str = field(repr=False)
    syntax: str


def read_meta(path: Path) -> FileMeta:
    """Return the UIDs of a file's meta group; DataError where there is none. Reads at most `HEAD_BYTES`."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    values = _values(head) if head[128:START] == b"DICM" else {}
    if not all(0 < len(values.get(element, "")) <= UID_LENGTH for element in (CLASS, INSTANCE, SYNTAX)):
        raise DataError(f"{path}: no DICOM file with complete file meta information (PS3.10 7.1)")
    return FileMeta(values[CLASS], values[INSTANCE], values[SYNTAX])


def _values(head: bytes) -> dict[int, str]:
    values: dict[int, str] = {}
    at = START
    while at + 12 <= len(head):
        group, element, vr = struct.unpack_from("<HH2s", head, at)
        if group != 2:
            break
        if vr in LONG:
            size, at = struct.unpack_from("<I", head, at + 8)[0], at + 12
        else:
            size, at = struct.unpack_from("<H", head, at + 6)[0], at + 8
        if vr == b"UI":
            values[element] = head[at : at + size].rstrip(b"\0 ").decode("ascii", "replace")
        at += size
    return values


def read_metas(files: Iterable[Path]) -> tuple[dict[Path, FileMeta], dict[Path, str]]:
    """Return the meta of every file, each named once, and why the others cannot be sent."""
    metas: dict[Path, FileMeta] = {}
    failed: dict[Path, str] = {}
    for path in dict.fromkeys(files):
        try:
            metas[path] = read_meta(path)
        except (DataError, OSError) as error:
            failed[path] = error.strerror or "cannot be read" if isinstance(error, OSError) else str(error)
    return metas, failed
