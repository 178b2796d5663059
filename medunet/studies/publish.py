"""Results appear whole or not at all: written beside their place, made durable, and renamed there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from medunet.errors import StudyError
from medunet.io.rights import give_rights

RESULT = "result.json"  # names every other file with its hash; written last
PART = ".part-"
LARGEST_RESULT = 2**26  # bytes of result.json; ours are far smaller

Fill = Callable[[Path], dict[str, Any]]  # writes into a folder, returns what result.json says


def is_result(folder: Path) -> bool:
    """Tell whether a folder is a result of ours; other programs call their files result.json, too."""
    place = folder / RESULT
    try:
        if not place.is_file() or place.stat().st_size > LARGEST_RESULT:
            return False
        said = json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(said, dict) and said.keys() >= {"identity", "model_sha256"}


def finished(out: Path, name: str, identity: str) -> dict[str, Any] | None:
    """Return what result.json of a study says, if all of its files are there and sound; else None."""
    folder = out / name
    try:
        result: dict[str, Any] = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        same = result["identity"] == identity
        sound = all(file_sha256(folder / file) == digest for file, digest in result["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return result if same and sound else None


def publish(out: Path, name: str, identity: str, fill: Fill) -> dict[str, Any]:
    """Fill a folder and give it its place; what a killed worker left half-made goes.

    Another worker's finished result is kept: it has the same bytes. StudyError if the place holds a result
    that somebody has changed.
    """
    out.mkdir(parents=True, exist_ok=True)
    for left in out.glob(f"{PART}{name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix=f"{PART}{name}-", dir=out))
    try:
        result = fill(temporary) | {"identity": identity}
        made = sorted(path for path in temporary.rglob("*") if path.is_file())
        result["files"] = {path.relative_to(temporary).as_posix(): file_sha256(path) for path in made}
        text = json.dumps(result, indent=1, allow_nan=False, sort_keys=True)
        (temporary / RESULT).write_text(text + "\n", encoding="utf-8")
        _settle(temporary)
        _rename(temporary, out / name, identity)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync(out)
    return result


def _rename(temporary: Path, target: Path, identity: str) -> None:
    try:
        temporary.replace(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        if finished(target.parent, target.name, identity) is None:
            raise StudyError(
                f"{target}: is there already and was changed since it was written; it may have been "
                "corrected. Move it away, or give another --out."
            ) from None


def _settle(folder: Path) -> None:
    """Make all files durable, with the rights that new ones would have."""
    for path in (folder, *folder.rglob("*")):
        give_rights(path)
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of what a file holds."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
