"""Tell what a file is by its first bytes; nothing is unpacked or unpickled."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

from medunet.errors import DataError

HEAD_BYTES = 1024
READABLE = ("nifti", "png", "jpeg", "tiff", "nrrd", "meta", "dicom")

_MAGIC = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\x00": "tiff",
    b"MM\x00*": "tiff",
    b"II+\x00": "tiff",
    b"MM\x00+": "tiff",
    b"NRRD000": "nrrd",
}
_FOREIGN = {
    b"PK\x03\x04": "an archive or a PyTorch file (zip), not an image; it is never unpacked",
    b"PK\x05\x06": "an empty archive (zip), not an image",
    b"\x80": "a Python pickle, not an image; it is never loaded",
    b"\x00\x08\x00\x05": "big-endian DICOM without file meta, which is not read; export it again",
    b"\x89HDF": "an HDF5 file (MINC or other), which is not read; convert it to NIfTI",
    b"BZh": "a bzip2 archive, not an image",
    b"\xfd7zXZ": "an xz archive, not an image",
    b"7z\xbc\xaf": "an archive (7z), not an image",
    b"Rar!": "an archive (rar), not an image",
    b"%PDF": "a PDF document, not an image",
    b"GIF8": "a GIF picture, which is not read; convert it to PNG",
    b"BM": "a BMP picture, which is not read; convert it to PNG",
}


def kind_of(path: Path) -> str:
    """Return the format of a file, one of `READABLE`; DataError that says what it is instead."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: not a regular file; expected an image")
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    if head[:2] == b"\x1f\x8b":
        head = _unzipped_head(path)
        if _is_nifti(head):
            return "nifti"
        raise DataError(
            f"{path}: gzip content that is not NIfTI; expected an image in one of {', '.join(READABLE)}"
        )
    kind = _kind(head)
    if kind is None:
        raise DataError(f"{path}: {_what(head, path)}; expected an image in one of {', '.join(READABLE)}")
    return kind


def _kind(head: bytes) -> str | None:
    if head[128:132] == b"DICM" or _is_bare_dicom(head):  # first: the preamble may pretend to be a TIFF
        return "dicom"
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if _is_nifti(head):
        return "nifti"
    if head.lstrip().startswith((b"ObjectType", b"NDims", b"Comment =")) and b"NDims" in head:
        return "meta"
    return None


def _is_nifti(head: bytes) -> bool:
    return len(head) >= 348 and any(struct.unpack(order + "i", head[:4])[0] in (348, 540) for order in "<>")


def _is_bare_dicom(head: bytes) -> bool:
    """Tell whether a data set without preamble starts here: a group length or file meta element."""
    if len(head) < 12:
        return False
    group, element = struct.unpack("<HH", head[:4])
    return (group, element) in {(2, 0), (8, 0), (8, 1), (8, 5), (8, 8), (8, 22)}


def _unzipped_head(path: Path) -> bytes:
    try:
        with gzip.open(path) as stream:
            return stream.read(HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: the gzip content is damaged ({error}); fetch the file again") from error


def _what(head: bytes, path: Path) -> str:
    if not head:
        return "the file is empty"
    for magic, what in _FOREIGN.items():
        if head.startswith(magic):
            return what
    text = head.lstrip()[:16].lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page or XML text, not an image: the download failed"
    if text.startswith((b"{", b"[")):
        return "JSON text, not an image"
    if b"\0" not in head:
        return "text, not an image"
    return f"not a known image (first bytes {head[:8].hex(' ')}, ending {path.suffix or 'none'})"
