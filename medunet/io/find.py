"""Which images lie behind some paths: files, folders, DICOM series; and what was left out and why."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from medunet.errors import DataError
from medunet.io.dicom import series as dicom
from medunet.io.sniff import kind_of
from medunet.io.source import Skipped, Source

__all__ = ["ENDINGS", "Listing", "Skipped", "Source", "by_scan", "find_images", "stem_of", "told_apart"]

ENDINGS = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm")

CHANNEL = re.compile(r"(.+)_(\d{4})")  # nnU-Net's names of the channels of one scan


class Listing(NamedTuple):
    """What `find_images` found; `sources, skipped = find_images(...)`."""

    sources: list[Source]
    skipped: list[Skipped]


def find_images(paths: Sequence[Path], leave_out: Path | None = None) -> Listing:
    """Return one source per image file and per volume of a DICOM series, wherever its slices lie.

    Names are unlike. Hidden files and folders (a leading dot) are left out, and the folder `leave_out`.
    """
    sources: list[Source] = []
    skipped: list[Skipped] = []
    slices: list[Path] = []
    for file in dict.fromkeys(_files_behind(paths, leave_out, skipped)):
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
    series, left = dicom.sources_of(slices)
    return Listing(list(told_apart([*sources, *series])), [*skipped, *left])


def by_scan(files: Iterable[Path], channels: int) -> list[tuple[Path, ...]]:
    """Return the files of each scan: NAME_0000, NAME_0001 ... of one folder are its channels (nnU-Net).

    Where the numbers are not exactly those of the channels, each file is a scan of its own.

    >>> [len(scan) for scan in by_scan([Path("a_0000.png"), Path("a_0001.png"), Path("IMG_1234.png")], 2)]
    [2, 1]
    """
    files = list(files)
    groups: dict[Path, dict[int, Path]] = defaultdict(dict)
    for file in files:
        stem = stem_of(file)
        if part := CHANNEL.fullmatch(stem):
            groups[file.with_name(part[1] + file.name[len(stem) :])][int(part[2])] = file
    whole: dict[Path, tuple[Path, ...]] = {}
    for group in groups.values():
        if sorted(group) == list(range(channels)):
            scan = tuple(group[number] for number in range(channels))
            whole |= dict.fromkeys(scan, scan)
    return list(dict.fromkeys(whole.get(file, (file,)) for file in files))


def stem_of(path: Path) -> str:
    """Return a file's name without its image ending.

    >>> stem_of(Path("scans/liver_1.nii.gz"))
    'liver_1'
    """
    for ending in ENDINGS:
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.name


def _files_behind(paths: Iterable[Path], leave_out: Path | None, skipped: list[Skipped]) -> Iterator[Path]:
    """Yield the paths that are files, and the files of all folders below the others."""
    for path in paths:
        if path.is_dir():
            for folder in [path, *sorted(p for p in path.rglob("*") if p.is_dir())]:
                hidden = any(part.startswith(".") for part in folder.relative_to(path).parts)
                if not hidden and not (leave_out and folder.resolve().is_relative_to(leave_out.resolve())):
                    yield from _files_in(folder, skipped)
        elif path.exists():
            yield path
        else:
            skipped.append(Skipped(path, f"{path}: there is no such file or folder"))


def _files_in(folder: Path, skipped: list[Skipped]) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if not p.is_dir() and not p.name.startswith("."))
    except OSError as error:
        skipped.append(Skipped(folder, f"{folder}: cannot be listed ({error.strerror})"))
        return []


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
