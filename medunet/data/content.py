"""A case's content in one line, by which it is known again whatever its files are called."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from medunet.data.cases import Case
from medunet.io.formats.sidecar import sidecar_of
from medunet.io.read import content_hash


def content_of(case: Case, hash_of: Callable[[Path], str] = content_hash) -> str:
    """Return `IMAGES:MASK`, a hash of each; the mask's is empty where there is none.

    `:SIDECARS` follows where a JSON file beside an image says how large its pixels are.
    """
    images = hashlib.sha256("|".join(hash_of(path) for path in case.images).encode()).hexdigest()
    beside = [hash_of(sidecar) for path in case.images if path.is_file() and (sidecar := sidecar_of(path))]
    return ":".join([images, hash_of(case.mask) if case.mask else "", *beside])


def image_part(content: str) -> str:
    """Return the hash of the images: a corrected mask does not make a case new."""
    return content.partition(":")[0]
