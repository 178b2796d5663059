"""From paths to studies: DICOM files by their study, wherever they lie; every other file is its own.

Headers are read in the limited process, folder by folder; a series that lies in several is then read again as
one. Where the process dies, the file that kills it is searched by halving, told, and left out.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medunet.errors import StudyError
from medunet.io.find import ENDINGS, by_scan
from medunet.studies.identity import sha256_of, short_id, without_identity
from medunet.studies.publish import PART, is_result
from medunet.studies.reader import Reader, ReadingDiedError, size_of
from medunet.studies.task import Image

NO_IMAGE = "not a scan"  # in the reasons of the reader: sound DICOM, such as a report
Entry = dict[str, Any]  # of an answer of the reader


@dataclass(frozen=True)
class Found:
    """One study: its images, and a hash of what the scanner made."""

    study: str
    content: str
    images: tuple[Image, ...]


@dataclass(frozen=True)
class Left:
    """A path that is no image. `meant`: it should have been one, so the batch must tell."""

    path: Path
    reason: str
    meant: bool

    @property
    def found(self) -> Found:
        """The file as a study that can only be refused."""
        mark = sha256_of(str(self.path), str(size_of(self.path)))
        image = Image(id=short_id(mark), folder=str(self.path.parent), files=(self.path.name,), dicom=False)
        return Found(image.id, mark, (image,))


@dataclass
class Scanned:
    """What lies behind some paths."""

    studies: list[Found] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


def folders_of(
    paths: Iterable[Path], leave_out: Sequence[Path] = (), left: list[Left] | None = None
) -> Iterator[list[Path]]:
    """Yield the files of each folder below the paths, without hidden ones, links, and our own results.

    No file is yielded twice. What the system does not let us look at is added to `left`.
    """
    left = [] if left is None else left
    loose: dict[Path, list[Path]] = defaultdict(list)
    closed = [path.resolve() for path in leave_out]
    seen: set[Path] = set()
    for path in dict.fromkeys(path.absolute() for path in paths):
        if not path.is_dir():
            loose[path.parent].append(path)
            continue
        for files in _below(path, closed, left):
            if fresh := [file for file in files if file not in seen and _is_file(file, left)]:
                seen.update(fresh)
                yield fresh
    for files in loose.values():
        if fresh := [file for file in files if file not in seen]:
            yield fresh


def _below(path: Path, closed: Sequence[Path], left: list[Left]) -> Iterator[list[Path]]:
    for folder, inner, names in os.walk(path, onerror=lambda error: left.append(_not_seen(error))):
        here = Path(folder)
        if is_result(here) or any(here.resolve().is_relative_to(place) for place in closed):
            inner.clear()
            continue
        inner[:] = sorted(name for name in inner if not name.startswith((".", PART)))
        yield [here / name for name in sorted(names) if not name.startswith(".")]


def _is_file(path: Path, left: list[Left]) -> bool:
    """Tell whether a path is a file, and no pipe or socket."""
    try:
        return path.is_file()
    except OSError as error:
        left.append(_not_seen(error))
        return False


def _not_seen(error: OSError) -> Left:
    path = Path(error.filename)
    reason = f"{path}: cannot be looked at ({error.strerror}); correct that, and add it again"
    return Left(path, without_identity(reason, [path]), meant=True)


def scan(folders: Iterable[Sequence[Path]], reader: Reader, channels: int, named: Sequence[Path]) -> Scanned:
    """Return the studies among files; `named` are the paths that the user gave."""
    meant = {path.absolute() for path in named}
    plain, series, left = [], [], []
    for files in folders:
        answer = _scan_folder(list(files), reader)
        plain += [entry for entry in answer["images"] if not entry["dicom"]]
        series += [entry for entry in answer["images"] if entry["dicom"]]
        left += answer["left"]
    series, more = _joined(series, reader)
    out = Scanned([*_dicom(series), *_plain(plain, channels)])
    for entry in (*left, *more):
        path = Path(entry["path"])
        said = path.name.lower().endswith(ENDINGS) and NO_IMAGE not in entry["reason"]
        said = said or path in meant or "meant" in entry
        out.left.append(Left(path, without_identity(entry["reason"], [path]), said))
    return out


def _joined(images: Iterable[Entry], reader: Reader) -> tuple[list[Entry], list[Entry]]:
    """Return each DICOM image once, a series of several folders as one, and what is then left out."""
    known: dict[tuple[str, str], dict[str, Entry]] = defaultdict(dict)
    for entry in images:
        known[entry["study"], entry["series"]].setdefault(entry["content"], entry)
    whole: list[Entry] = []
    left: list[Entry] = []
    for (_, series), parts in known.items():
        files = [Path(file) for entry in parts.values() for file in entry["files"]]
        if series and len({file.parent for file in files}) > 1:
            answer = _scan_folder(list(dict.fromkeys(files)), reader)
            whole += answer["images"]
            left += answer["left"]
        else:
            whole += parts.values()
    return whole, left


def _scan_folder(files: list[Path], reader: Reader) -> dict[str, list[Entry]]:
    try:
        return reader.scan(files)
    except (ReadingDiedError, StudyError) as error:  # the process died, or the drive fails
        bad = dict(_culprits(files, reader))
        if not bad:  # harmless one by one: all of them together are too much
            bad = dict.fromkeys(files, str(error))
        rest = [file for file in files if file not in bad]
        answer = _scan_folder(rest, reader) if rest else {"images": [], "left": []}
        told: list[Entry] = [{"path": str(f), "reason": bad[f], "meant": True} for f in files if f in bad]
        return answer | {"left": [*answer["left"], *told]}


def _culprits(files: Sequence[Path], reader: Reader) -> Iterator[tuple[Path, str]]:
    """Yield the files that cannot be looked at, each with what happens."""
    try:
        reader.scan(files)
    except (ReadingDiedError, StudyError) as error:
        if len(files) == 1:
            yield files[0], str(error)
            return
        middle = len(files) // 2
        yield from _culprits(files[:middle], reader)
        yield from _culprits(files[middle:], reader)


def _dicom(images: Iterable[Entry]) -> Iterator[Found]:
    studies: dict[str, dict[str, Image]] = defaultdict(dict)
    for entry in images:
        studies[entry["study"]][entry["content"]] = _image(entry)
    for study, found in studies.items():
        ordered = sorted(found)
        yield Found(study, sha256_of(*ordered), tuple(found[content] for content in ordered))


def _plain(images: Iterable[Entry], channels: int) -> Iterator[Found]:
    known = {Path(entry["files"][0]): entry for entry in images}
    for files in by_scan(known, channels):
        content = sha256_of(*(known[file]["content"] for file in files))
        yield Found(short_id(content), content, tuple(_image(known[file]) for file in files))


def _image(entry: Entry) -> Image:
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
