"""Hashed ids instead of names: no UID or file name of a patient reaches a log, a message or a file."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

LETTERS = 12  # of a hashed id: 48 bits
UID = re.compile(r"(?<![\w.])\d+(?:\.\d+){5,}(?![\w.])")  # versions and spacings have fewer parts
PATH = re.compile(r"(?<![\w/])/(?=[\w.~]).*?(?=: |; |, |['\"()]|$)", re.MULTILINE)  # names hold spaces
SHORTEST_NAME = 3  # letters; shorter names are parts of other words
# Names of folders and files that are no person's, and that messages use.
PLAIN = {
    "brain", "case", "cases", "data", "dicom", "file", "files", "folder", "head", "image", "images",
    "incoming", "label", "labels", "mask", "masks", "nifti", "scan", "scans", "seg", "series", "slice",
    "slices", "studies", "study", "volume",
}  # fmt: skip


def short_id(text: str) -> str:
    """Return the hashed id of a UID, a path or a content hash.

    >>> short_id("1.2.840.113619.2.55")
    '124a91802683'
    """
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:LETTERS]


def sha256_of(*parts: str) -> str:
    """Return one SHA-256 over several texts, told apart."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogateescape")).hexdigest()


def without_identity(text: str, paths: Iterable[Path] = ()) -> str:
    """Return a message with known paths, their names, other absolute paths and UIDs replaced by hashed ids.

    >>> without_identity("/d/Smith/1.dcm: 1.2.840.10008.5.1 at 2.5 mm", [Path("/d/Smith/1.dcm")])
    '<9c6b981f7064>: <be4fa78c7716> at 2.5 mm'
    """
    known = {str(place) for path in paths for place in (path, path.parent) if len(place.parts) > 1}
    for whole in sorted(known, key=len, reverse=True):
        text = text.replace(whole, f"<{short_id(whole)}>")
    names = {Path(whole).name for whole in known} | {Path(whole).stem for whole in known}
    for name in sorted(names, key=len, reverse=True):
        if len(name) >= SHORTEST_NAME and name not in PLAIN:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", f"<{short_id(name)}>", text)
    text = PATH.sub(lambda found: f"<{short_id(found[0])}>", text)
    return UID.sub(lambda found: f"<{short_id(found[0])}>", text)
