"""deidentify: folders of DICOM in, a folder for research out; no identity in names, report or messages."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from medunet.errors import ConfigError
from medunet.io.deid.clean import Options, PrivateTag
from medunet.io.deid.keys import check_apart, open_key, study_key, write_private
from medunet.io.deid.one_file import Outcome, deidentify_file
from medunet.io.write import write_atomic
from medunet.workflows.deidentify_tally import Tally
from medunet.workflows.progress import progress, say

REPORT = "deidentification.json"
FEW = 64  # files below this are done sooner than other processes start
AT_ONCE = 512  # files handed to the processes before their outcomes are taken
COPIES = 5  # of a file in memory while it is cleaned and verified
_PRIVATE = re.compile(r"(.+),([0-9A-Fa-f]{4}),([0-9A-Fa-f]{2})")

Work = Callable[[Path], Outcome]
Finished = Iterator[tuple[Path, Outcome]]


def deidentify(  # noqa: PLR0913 - the one entrance; everything after the folder is a keyword
    inputs: Sequence[Path],
    out: Path,
    *,
    key_file: Path,
    mapping: Path | None = None,
    keep_characteristics: bool = False,
    keep_private: Sequence[str] = (),
    reviewed: Path | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """De-identify every DICOM file below `inputs` into `out`; return counts and what was left out, and why.

    The key file is made where there is none. `mapping` gets the table old -> new, for its owner only;
    `reviewed` names the files and series that leave quarantine, for a person has looked at them.
    ConfigError where a path or option is wrong; a damaged file costs only itself.
    """
    _check_paths(inputs, out)
    if mapping is not None:
        check_apart("--mapping", mapping, (out,))
    private = tuple(_private_tag(text) for text in keep_private)
    options = Options(keep_characteristics, private, _released(reviewed))
    key = open_key(key_file, (out, *(path for path in inputs if path.is_dir())))
    settings = _settle(out, key, options)
    files = _files(inputs)
    if not files:
        raise ConfigError(f"{', '.join(map(str, inputs))}: holds no file. Give a folder with DICOM files.")
    tally = Tally(key, keep_originals=mapping is not None)
    work = partial(deidentify_file, out=out, key=key, options=options)
    with progress("De-identifying", len(files)) as bar:
        for path, outcome in _outcomes(files, work, workers or _workers(files)):
            tally.add(path, outcome)
            bar.advance()
    result = {"settings": settings, **tally.report()}
    _write_report(out, result)
    if mapping is not None:
        write_private(mapping, tally.table())
    _tell(result, mapping)
    return result


def _check_paths(inputs: Sequence[Path], out: Path) -> None:
    if missing := [str(path) for path in inputs if not path.exists()]:
        raise ConfigError(f"{', '.join(missing)}: no such file or folder. Give folders with DICOM files.")
    for path in inputs:
        one, other = path.resolve(), out.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise ConfigError(f"--out {out}: lies in {path}, or holds it; give a folder beside it.")


def _private_tag(text: str) -> PrivateTag:
    found = _PRIVATE.fullmatch(text.strip())
    if found is None or not int(found[2], 16) % 2:
        raise ConfigError(
            f"--keep-private {text}: expected CREATOR,GROUP,ELEMENT with an odd group of four hexadecimal "
            "digits and the last two digits of the element, such as 'SIEMENS MR HEADER,0019,0C'."
        )
    return PrivateTag(found[1].strip(), int(found[2], 16), int(found[3], 16))


def _released(reviewed: Path | None) -> frozenset[str]:
    """Return the short names of files and series in a list that a person made after looking at them."""
    if reviewed is None:
        return frozenset()
    if not reviewed.is_file():
        raise ConfigError(f"--reviewed {reviewed}: no such file. Give a text file of short names.")
    words = reviewed.read_text(encoding="utf-8", errors="replace").split()
    if wrong := [word for word in words if not re.fullmatch(r"[0-9a-f]{12}", word)]:
        raise ConfigError(
            f"--reviewed {reviewed}: '{wrong[0]}' is no short name of a file or series; expected words of "
            f"12 hexadecimal digits, as {REPORT} names them."
        )
    return frozenset(words)


def _settle(out: Path, key: bytes, options: Options) -> dict[str, Any]:
    """Return the settings of this folder; ConfigError if it was begun with another key or other wishes."""
    settings = {
        "key_check": study_key(key, "which key this is"),
        "keep_characteristics": options.keep_characteristics,
        "keep_private": [f"{t.creator},{t.group:04X},{t.element:02X}" for t in options.keep_private],
    }
    path = out / REPORT
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))["settings"]
        except (ValueError, KeyError, TypeError):
            before = None
        if before != settings:
            raise ConfigError(f"--out {out}: was begun with another key or other options; give a new folder.")
    else:
        _write_report(out, {"settings": settings})
    return settings


def _write_report(out: Path, result: dict[str, Any]) -> None:
    with write_atomic(out / REPORT) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _files(inputs: Sequence[Path]) -> list[Path]:
    """Return the regular files below the inputs, each once, and the folders that cannot be listed."""
    found = [file for path in inputs for file in (_below(path) if path.is_dir() else [path])]
    return sorted({path for path in found if path.is_file() or path.is_dir()})


def _below(folder: Path) -> list[Path]:
    found: list[Path] = []

    def refused(error: OSError) -> None:
        found.append(Path(error.filename))

    for inner, _, names in os.walk(folder, onerror=refused):
        found += [Path(inner) / name for name in names]
    return found


def _workers(files: Sequence[Path]) -> int:
    """Return how many processes fit the cores and, with the largest files, half of the free memory."""
    if len(files) < FEW:
        return 1
    largest = max(file.stat().st_size for file in files)
    fit = psutil.virtual_memory().available // 2 // max(1, COPIES * largest)
    return max(1, min(os.cpu_count() or 1, fit))


def _outcomes(files: Sequence[Path], work: Work, workers: int) -> Finished:
    """Yield what became of each file, a bounded number at a time."""
    if workers == 1:
        yield from ((file, work(file)) for file in files)
        return
    pool = _pool(workers)
    try:
        for start in range(0, len(files), AT_ONCE):
            left = list(reversed(files[start : start + AT_ONCE]))
            try:
                for outcome in pool.map(work, left[::-1], chunksize=8):
                    yield left.pop(), outcome
            except BrokenProcessPool:
                yield from _one_by_one(left[::-1], work)
                pool = _pool(workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _one_by_one(files: Sequence[Path], work: Work) -> Finished:
    """Yield the outcomes of files one of which ended its process: now it ends only its own."""
    pool = _pool(1)
    for file in files:
        try:
            yield file, pool.submit(work, file).result()
        except BrokenProcessPool:
            yield file, Outcome("failed", "the process that read it was ended; is the memory too small?")
            pool = _pool(1)
    pool.shutdown()


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _tell(result: dict[str, Any], mapping: Path | None) -> None:
    counts = result["counts"]
    say(", ".join(f"{count} {state}" for state, count in counts.items() if count) + ".")
    for state in ("quarantined", "failed"):
        for reason, count in Counter(entry["reason"] for entry in result[state]).most_common():
            say(f"{state}: {count} x {reason}")
    for warning in result["warnings"]:
        say(f"warning: {warning}")
    if mapping is None and (result["failed"] or result["quarantined"]):
        say("Only --mapping FILE tells which files these are: their names may hold identity.")
