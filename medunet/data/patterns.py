"""The `files:` patterns of a card: what `{case}`, `{patient}` and `{channel}` match below a data folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from medunet.errors import DataError
from medunet.io.find import ENDINGS

PLACEHOLDERS = {"case": "[^/]+?", "patient": "[^/]+?", "channel": r"\d{4}"}

Key = tuple[str, str]  # patient (empty where the pattern has none), case


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the expression for a `files:` pattern; the file ending is matched in upper and lower case.

    >>> compile_pattern("imagesTr/{case}_{channel}.nii.gz").fullmatch("imagesTr/a_0001.NII.GZ")["case"]
    'a'
    """
    any_ending = pattern.endswith(".*")
    parts = re.split(r"\{(\w+)\}", pattern.removesuffix(".*").removesuffix("/"))
    out, seen = "", set()
    for index, part in enumerate(parts):
        if index % 2 == 0:
            last = index == len(parts) - 1
            out += f"(?i:{re.escape(part)})" if last and "/" not in part else re.escape(part)
        elif part not in PLACEHOLDERS:
            raise DataError(
                f"files: {pattern}: unknown placeholder {{{part}}}; known: {', '.join(PLACEHOLDERS)}."
            )
        else:
            out += f"(?P={part})" if part in seen else f"(?P<{part}>{PLACEHOLDERS[part]})"
            seen.add(part)
    if any_ending:
        out += "(?i:" + "|".join(re.escape(ending) for ending in ENDINGS) + ")"
    return re.compile(out)


def walk(root: Path, depth: int) -> Iterator[tuple[str, bool]]:
    """Yield (name below root, is a folder) down to `depth` folders; hidden files (.x, ._x) are left out.

    Links to folders are followed: data often lies on another disk; the depth keeps loops finite.
    """
    for folder, folders, files in os.walk(root, onerror=_unreadable, followlinks=True):
        below = Path(folder).relative_to(root)
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n != "__MACOSX")
        yield from (((below / name).as_posix(), True) for name in folders)
        yield from (((below / name).as_posix(), False) for name in sorted(files) if not name.startswith("."))
        if len(below.parts) >= depth:
            folders.clear()


def _unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename}: folder cannot be read: {error.strerror}. Correct its permissions.")


def fill(pattern: str, key: Key) -> str:
    """Return the path, below the data folder, that a pattern names for a case."""
    return pattern.replace("{patient}", key[0] or "*").replace("{case}", key[1]).replace("{channel}", "0000")
