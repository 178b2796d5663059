"""What an image says about itself, for choosing the right series: from headers only, without identity.

Study and series are known by hashes of their UIDs (PS3.3 C.7.2.1, C.7.3.1); the free text of the series
description is used as a hint and never kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from medunet.errors import DataError
from medunet.geometry import Affine
from medunet.io.dicom.file import PARSE_ERRORS, tags_of
from medunet.io.dicom.file import read_header as read_dicom_header
from medunet.io.dicom.geometry import Irregular
from medunet.io.dicom.headers import Slice, contrast_given
from medunet.io.doors import layout_of, source_of
from medunet.io.find import Source
from medunet.io.read import content_hash, read_header

TAGS = tags_of("ContrastBolusAgent", "SeriesDescription", "ProtocolName")
PLANES = ("sagittal", "coronal", "axial")  # by the RAS axis that slices lie along
OBLIQUE = 0.9  # cosine to that axis below which no plane is named
BLOCK_BYTES = 4096  # of pixels, in the identity of a series, whatever the UIDs say
BLOCKS = 4  # of each image, from its first pixels to its last


@dataclass(frozen=True)
class Facts:
    """Facts about one image; empty or None where the header does not say."""

    shape: tuple[int, ...]  # RAS axes
    spacing_mm: tuple[float, ...]
    plane: str = ""  # axial, coronal or sagittal
    modality: str = ""  # DICOM's code: CT, MR, PT ...
    body_part: str = ""
    image_type: tuple[str, ...] = ()
    contrast: bool | None = None
    number: int = 0  # of the series
    description: str = ""  # a hint only; may name a person, so it is never kept


@dataclass(frozen=True)
class Identity:
    """What tells an image from all others: UIDs, and a hash of what the scanner made."""

    study: str  # UID; empty outside DICOM
    series: str
    content: str


def facts_of(source: Source, irregular: Irregular = "error") -> Facts:
    """Return the facts of an image from its headers; DataError if `read_image` would refuse its grid."""
    header = read_header(source, irregular=irregular)
    if not source.slices:
        return Facts(header.shape, header.spacing_mm)
    first = source.slices[0]
    words = _words(first.path)
    agent = words.get("ContrastBolusAgent")
    return Facts(
        shape=header.shape,
        spacing_mm=header.spacing_mm,
        plane=_plane(header.affine, header.shape, header.spacing_mm),
        modality=first.modality,
        body_part=first.body_part.strip(),
        image_type=first.image_type,
        contrast=None if agent is None else contrast_given(agent),
        number=first.series_number,
        description=f"{words.get('SeriesDescription') or ''} {words.get('ProtocolName') or ''}".strip(),
    )


def is_synthetic(path: Path | Source) -> bool:
    """Tell whether a file or series is marked as made by a generator; DataError if it cannot be read."""
    source = path if isinstance(path, Source) else source_of(path)
    return layout_of(source, any_grid=True).facts.get("synthetic") == "YES"


def identify(source: Source) -> Identity:
    """Return what tells an image from others. Of a DICOM file: its UID, its size, header and some pixels."""
    if not source.slices:
        return Identity("", "", content_hash(source))
    images = Counter(plane.path for plane in source.slices)
    one_of = {plane.path: plane for plane in source.slices}
    prints = {path: _print(plane, images[path]) for path, plane in one_of.items()}
    marks = [f"{plane.sop} {prints[plane.path]} {plane.frame}" for plane in source.slices]
    content = hashlib.sha256("\n".join(sorted(marks)).encode()).hexdigest()
    return Identity(source.slices[0].study, source.slices[0].series, content)


def _words(path: Path) -> Any:
    try:
        return read_dicom_header(path, TAGS)[0]
    except PARSE_ERRORS as error:
        raise DataError(f"{path}: the DICOM header is damaged ({type(error).__name__})") from error


def _print(plane: Slice, images: int) -> str:
    """Return size and hash of the data set of a file that holds some images, `plane` being one of them.

    Who sent the file (its file meta) and how study and series are called there do not count.
    """
    with plane.path.open("rb") as stream:
        begin, end = _after_meta(stream), stream.seek(0, 2)
        pixels = end if plane.pixels_at is None else plane.pixels_at[0]  # where unknown, all is hashed
        stream.seek(begin)
        header = stream.read(pixels - begin)
        for uid in (plane.study, plane.series, plane.place):
            header = header.replace(uid.encode(), b"")
        sha = hashlib.sha256(header)
        last = max(pixels, end - BLOCK_BYTES)
        for offset in np.linspace(pixels, last, BLOCKS * images, dtype=int):
            stream.seek(offset)
            sha.update(stream.read(BLOCK_BYTES))
    return f"{end - begin} {sha.hexdigest()}"


def _after_meta(stream: BinaryIO) -> int:
    """Return where the data set begins: after the group of file meta, which says its length (PS3.10 7.1)."""
    start = stream.read(144)
    said = start[132:140] == b"\2\0\0\0UL\4\0"
    return 144 + int.from_bytes(start[140:], "little") if said else 0


def _plane(affine: Affine, shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> str:
    """Return the plane of the slices: the axis of the array with the thickest voxels, or the fewest."""
    if len(shape) != 3:
        return ""
    thick = max(range(3), key=lambda axis: (round(spacing_mm[axis], 2), -shape[axis]))
    if spacing_mm[thick] < 1.05 * sorted(spacing_mm)[1]:  # all edges alike: any plane is as good
        return ""
    normal = np.asarray(affine)[:3, thick] / spacing_mm[thick]
    axis = int(np.argmax(np.abs(normal)))
    return PLANES[axis] if abs(normal[axis]) >= OBLIQUE else "oblique"
