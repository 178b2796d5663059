"""From paths to studies: DICOM files by their study, wherever they lie; every other file is its own.

Headers are read in the limited process. Where that dies, the file that kills it is searched by halving, told,
and left out.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medunet.io.find import ENDINGS
from medunet.studies.identity import sha256_of, short_id, without_identity
from medunet.studies.publish import PART, RESULT
from medunet.studies.reader import Reader, ReadingDiedError
from medunet.studies.task import Image

CHANNEL = re.compile(r"(.+)_(\d{4})(\..+)")  # nnU-Net's names of the channels of one scan
NO_IMAGE = "not a scan"  # in the reasons of the reader: sound DICOM, such as a report


@dataclass(frozen=True)
class Found:
    """One study: its images, and a hash of what the scanner made."""

    study: str
    content: str
    images: tuple[Image, ...]


@dataclass(frozen=True)
class Left:
    """A file that is no image. `meant`: it should have been one, so the batch must tell."""

    path: Path
    reason: str
    meant: bool

    @property
    def found(self) -> Found:
        """The file as a study that can only be refused."""
        mark = sha256_of(str(self.path), str(_size(self.path)))
        image = Image(id=short_id(mark), folder=str(self.path.parent), files=(self.path.name,), dicom=False)
        return Found(image.id, mark, (image,))


@dataclass
class Scanned:
    """What lies behind some paths."""

    studies: list[Found] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


def folders_of(paths: Iterable[Path], leave_out: Sequence[Path] = ()) -> Iterator[list[Path]]:
    """Yield the files of each folder below the paths, without hidden ones, links, and our own results."""
    loose: dict[Path, list[Path]] = defaultdict(list)
    closed = [path.resolve() for path in leave_out]
    for path in dict.fromkeys(path.absolute() for path in paths):
        if not path.is_dir():
            loose[path.parent].append(path)
            continue
        for folder, inner, names in os.walk(path):
            here = Path(folder)
            if RESULT in names or any(here.resolve().is_relative_to(place) for place in closed):
                inner.clear()
                continue
            inner[:] = sorted(name for name in inner if not name.startswith((".", PART)))
            files = [here / name for name in sorted(names) if not name.startswith(".")]
            if files := [file for file in files if file.is_file()]:  # no pipes, no sockets
                yield files
    yield from loose.values()


def scan(folders: Iterable[Sequence[Path]], reader: Reader, channels: int, named: Sequence[Path]) -> Scanned:
    """Return the studies among files; `named` are the paths that the user gave."""
    meant = {path.absolute() for path in named}
    images: list[dict[str, Any]] = []
    out = Scanned()
    for files in folders:
        answer = _scan_folder(list(files), reader)
        images += answer["images"]
        for entry in answer["left"]:
            path = Path(entry["path"])
            said = path in meant or (path.name.lower().endswith(ENDINGS) and NO_IMAGE not in entry["reason"])
            out.left.append(Left(path, without_identity(entry["reason"], [path]), said))
    out.studies = [*_dicom(images), *_plain(images, channels)]
    return out


def _scan_folder(files: list[Path], reader: Reader) -> dict[str, Any]:
    try:
        return reader.scan(files)
    except ReadingDiedError as error:
        bad = dict(_culprits(files, reader))
        if not bad:  # harmless one by one: all of them together are too much
            bad = dict.fromkeys(files, str(error))
        rest = [file for file in files if file not in bad]
        answer = _scan_folder(rest, reader) if rest else {"images": [], "left": []}
        told = [{"path": str(file), "reason": reason} for file, reason in bad.items()]
        return answer | {"left": [*answer["left"], *told]}


def _culprits(files: Sequence[Path], reader: Reader) -> Iterator[tuple[Path, str]]:
    """Yield the files that the reading process dies of, each with how."""
    try:
        reader.scan(files)
    except ReadingDiedError as error:
        if len(files) == 1:
            yield files[0], str(error)
            return
        middle = len(files) // 2
        yield from _culprits(files[:middle], reader)
        yield from _culprits(files[middle:], reader)


def _dicom(images: Iterable[dict[str, Any]]) -> Iterator[Found]:
    studies: dict[str, dict[str, Image]] = defaultdict(dict)  # the same series found twice counts once
    for entry in images:
        if entry["dicom"]:
            studies[entry["study"]].setdefault(entry["content"], _image(entry))
    for study, found in studies.items():
        ordered = sorted(found)
        yield Found(study, sha256_of(*ordered), tuple(found[content] for content in ordered))


def _plain(images: Iterable[dict[str, Any]], channels: int) -> Iterator[Found]:
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for entry in images:
        if not entry["dicom"]:
            path = Path(entry["files"][0])
            part = CHANNEL.fullmatch(path.name) if channels > 1 else None
            key = (str(path.parent), part[1], part[3]) if part else (str(path),)
            groups[key].append(entry)
    for group in groups.values():
        ordered = sorted(group, key=lambda entry: str(entry["files"][0]))
        for scan_of in [ordered] if len(ordered) == channels else [[entry] for entry in ordered]:
            content = sha256_of(*(entry["content"] for entry in scan_of))
            yield Found(short_id(content), content, tuple(map(_image, scan_of)))


def _image(entry: dict[str, Any]) -> Image:
    paths = [Path(file) for file in entry["files"]]
    folder = paths[0].parent
    names = tuple(path.name if path.parent == folder else str(path) for path in paths)
    return Image(
        id=short_id(entry["content"]),
        folder=str(folder),
        files=names,
        dicom=entry["dicom"],
        part=entry["part"],
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
