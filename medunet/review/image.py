"""The image of a case, found again and read as it was when the case was added."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from medunet.errors import DataError
from medunet.io.check import same_grid
from medunet.io.dicom.geometry import Irregular
from medunet.io.doors import source_of
from medunet.io.find import Source, find_images
from medunet.io.read import content_hash, read_image
from medunet.io.volume import Volume


class HasImage(Protocol):
    """What must be known of a case to read its image.

    facts: `channels` of the array; `groups`, [[number of paths, part], ...] with one entry a channel, where
    a channel is more than one path; `irregular` and `pixel_mm` as `read_image` takes them.
    """

    @property
    def images(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def facts(self) -> Mapping[str, Any]: ...  # noqa: D102


def image_of(case: HasImage, channels: int | None = None) -> Volume:
    """Return the image of a case: float32 (C, X, Y[, Z]) in RAS+; DataError if it is gone or damaged.

    channels: other than those that are shown, such as 3 for a grey picture among coloured ones.
    """
    facts = case.facts
    return read_sources(
        sources_of(case),
        channels or int(facts.get("channels", 1)),
        facts.get("pixel_mm"),
        str(facts.get("irregular", "error")),
    )


def sources_of(case: HasImage) -> list[Source]:
    """Return the sources of a case's image, one a channel; DataError if a file is gone."""
    paths = [Path(path) for path in case.images]
    groups = case.facts.get("groups") or [[1, ""]] * len(paths)
    found, start = [], 0
    for count, part in groups:
        found.append(source_in(paths[start : start + int(count)], str(part)))
        start += int(count)
    return found


def source_in(files: Sequence[Path], part: str = "") -> Source:
    """Return the one source in some files: a file, a series' folder, or slices; DataError if none."""
    if gone := [path for path in files if not path.exists()]:
        raise DataError(f"{gone[0]}: is gone; put the image back where it was when its case was added")
    if len(files) == 1 and not part:
        return source_of(files[0]) if files[0].is_dir() else _file(files[0])
    sources, skipped = find_images(list(files))
    for source in sources:
        if len(sources) == 1 or source.part == part:
            return source
    raise DataError(
        skipped[0].reason if skipped else f"{files[0]}: holds other series than when it was added"
    )


def read_sources(
    sources: Sequence[Source], channels: int, pixel_mm: float | None, irregular: str = "error"
) -> Volume:
    """Return the image of some sources, one a channel unless there is one for all."""
    how: dict[str, Any] = {"pixel_mm": pixel_mm, "irregular": cast("Irregular", irregular)}
    if len(sources) == 1:
        return read_image(sources[0], channels=channels, **how)
    parts = [read_image(source, **how) for source in sources]
    for part in parts[1:]:
        if problem := same_grid(parts[0], part):
            raise DataError(f"{part.path}: the channels of one image must share a grid; {problem}")
    return replace(parts[0], array=np.concatenate([part.array for part in parts]))


def image_sha256(sources: Sequence[Source]) -> tuple[str, tuple[str, ...]]:
    """Return the hash by which an image is known, and that of each channel's files."""
    hashes = tuple(content_hash(source) for source in sources)
    whole = hashes[0] if len(hashes) == 1 else hashlib.sha256("|".join(hashes).encode()).hexdigest()
    return whole, hashes


def _file(path: Path) -> Source:
    """Return a file as a source; of a DICOM file, with its images."""
    found = source_of(path)
    return found if found.slices else Source(path, (path,), path.name)
