"""Which images lie behind some paths: files, folders, DICOM series; and what was left out and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from medunet.errors import DataError
from medunet.io import dicom
from medunet.io.sniff import kind_of
from medunet.io.source import Skipped, Source

__all__ = ["ENDINGS", "Listing", "Skipped", "Source", "find_images", "stem_of", "told_apart"]

ENDINGS = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm")


class Listing(NamedTuple):
    """What `find_images` found; `sources, skipped = find_images(...)`."""

    sources: list[Source]
    skipped: list[Skipped]


def find_images(paths: Sequence[Path], leave_out: Path | None = None) -> Listing:
    """Return one source per image file and per DICOM series below the paths, with unlike names.

    Hidden files and folders (a leading dot) are not looked at, nor is the folder `leave_out`.
    """
    sources: list[Source] = []
    skipped: list[Skipped] = []
    loose: dict[Path, list[Path]] = defaultdict(list)  # files given one by one: slices may form a series
    for path in dict.fromkeys(paths):
        if path.is_dir():
            for folder in [path, *sorted(p for p in path.rglob("*") if p.is_dir())]:
                hidden = any(part.startswith(".") for part in folder.relative_to(path).parts)
                if not hidden and not (leave_out and folder.resolve().is_relative_to(leave_out.resolve())):
                    _look_into(folder, sources, skipped)
        elif path.exists():
            loose[path.parent].append(path)
        else:
            skipped.append(Skipped(path, f"{path}: there is no such file or folder"))
    for files in loose.values():
        _sort_in(files, sources, skipped)
    return Listing(list(told_apart(sources)), skipped)


def stem_of(path: Path) -> str:
    """Return a file's name without its image ending.

    >>> stem_of(Path("scans/liver_1.nii.gz"))
    'liver_1'
    """
    for ending in ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def _look_into(folder: Path, sources: list[Source], skipped: list[Skipped]) -> None:
    try:
        files = sorted(p for p in folder.iterdir() if not p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        skipped.append(Skipped(folder, f"{folder}: cannot be listed ({error.strerror})"))
        return
    _sort_in(files, sources, skipped)


def _sort_in(files: list[Path], sources: list[Source], skipped: list[Skipped]) -> None:
    slices: list[Path] = []
    for file in files:
        try:
            kind = kind_of(file)
        except DataError as error:
            if not _belongs(file):
                skipped.append(Skipped(file, str(error)))
            continue
        if kind == "dicom":
            slices.append(file)
        else:
            sources.append(Source(file, (file,), stem_of(file)))
    if slices:
        found, left = dicom.sources_of(slices)
        sources += found
        skipped += left


def _belongs(file: Path) -> bool:
    """Tell whether a file is the voxel part of a header beside it."""
    return file.suffix.lower() in (".raw", ".zraw") and any(
        file.with_suffix(ending).exists() for ending in (".mhd", ".nhdr")
    )


def told_apart(sources: list[Source]) -> Iterator[Source]:
    """Yield sources under unlike names: the parent folder, then a number, is added where names meet."""
    first = Counter(source.name for source in sources)
    named = [
        source if first[source.name] == 1 else replace(source, name=f"{_parent(source)}_{source.name}")
        for source in sources
    ]
    seen: Counter[str] = Counter()
    taken = {source.name for source in named}
    for source in named:
        seen[source.name] += 1
        number, name = seen[source.name], source.name
        while number > 1 and (name := f"{source.name}-{number}") in taken:
            number += 1
        taken.add(name)
        yield replace(source, name=name)


def _parent(source: Source) -> str:
    return source.path.resolve().parent.name or "image"
