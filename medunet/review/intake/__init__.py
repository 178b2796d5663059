"""How cases come into a reading room: results of studies, predictions, synthetic sets, images and masks.

found = arrivals([Path("masks")], Ask(studies=entries))
for arrival in found.found: take(room, arrival, user="anna")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from medunet.config.card import Card
from medunet.errors import ConfigError, DataError, MedunetError
from medunet.review.cases import NewCase, add_case, get_case, known_case
from medunet.review.errors import Conflict
from medunet.review.intake import folder, predictions, studies, synthetic
from medunet.review.intake.arrival import KINDS, Arrival, Arrivals, Ask, Kind, StudyEntry
from medunet.review.intake.reading import Opened, open_arrival, read
from medunet.review.room import Room
from medunet.review.versions import import_mask

__all__ = ["KINDS", "Arrival", "Arrivals", "Ask", "Kind", "StudyEntry", "add", "arrivals", "find", "take"]

READERS: dict[Kind, Callable[[Path, Ask], Arrivals]] = {
    "studies": studies.arrivals,
    "predictions": predictions.arrivals,
    "synthetic": synthetic.arrivals,
    "folder": folder.arrivals,
}


def find(path: Path) -> Kind:
    """Return what kind of source lies at a path; DataError where there is nothing."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder. Give results, images, or a folder of them")
    if path.is_file():
        return "folder"
    if synthetic.is_set(path):
        return "synthetic"
    if studies.is_result(path) or any(studies.is_result(inner) for inner in path.iterdir()):
        return "studies"
    if (path / predictions.ALL).is_file() or any(path.glob(f"*{predictions.REPORT}")):
        return "predictions"
    return "folder"


def arrivals(paths: Sequence[Path], ask: Ask, kind: Kind | None = None) -> Arrivals:
    """Return what may become cases behind some paths; `kind` says what they are, if it is not to be found."""
    found: list[Arrival] = []
    refused: dict[str, str] = {}
    for path in paths:
        here = READERS[kind or find(path)](path, ask)
        found += here.found
        refused |= here.refused
    if not found and not refused:
        raise ConfigError(
            f"{', '.join(map(str, paths))}: holds no image that can be read. Give NIfTI, DICOM, NRRD, MHA or "
            "PNG/TIFF/JPEG files, or folders of them."
        )
    return Arrivals(tuple(found), refused)


def take(room: Room, arrival: Arrival, user: str, priority: int = 0) -> tuple[str, bool]:
    """Add one case with its mask; return its id, and False if it was known. DataError: it cannot be one.

    Where a known case has a mask already, that one stays; where it has none, it gets the arrival's.
    """
    opened = open_arrival(arrival)
    before = known_case(room, _only_key(arrival, opened))
    if before is not None and _as_it_was(room, before, arrival):
        return before, False
    new, mask = read(arrival, opened, priority)
    case_id = add_case(room, new, user)
    if mask is not None:
        by_model = arrival.source != "folder" and arrival.model is not None
        with suppress(Conflict):  # known, and its mask was corrected since
            author = str(arrival.model) if by_model else user
            import_mask(room, case_id, mask, author[:64], "model" if by_model else "import")
    return case_id, before is None


def add(  # noqa: PLR0913  the one entrance; everything after the paths is a keyword
    room: Room,
    paths: Sequence[Path],
    *,
    kind: Kind | None = None,
    card: Card | None = None,
    model: str | None = None,
    images: Path | None = None,
    studies: Sequence[StudyEntry] = (),
    user: str,
    priority: int = 0,
) -> dict[str, Any]:
    """Add all cases behind some paths; return {"added": [id], "known": [id], "refused": {name: reason}}.

    images: where the images of predictions, or of a folder of masks, lie. studies: what the ledger knows. A
    file that is bad is told, and the others go on.
    """
    found = arrivals(paths, Ask(card, model, images, studies), kind)
    return add_all(room, found, user, priority)


def add_all(
    room: Room,
    found: Arrivals,
    user: str,
    priority: int = 0,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Add what was found; `told` hears the name of each before it is read. Return as `add` does."""
    ids: dict[bool, list[str]] = {True: [], False: []}
    refused = dict(found.refused)
    for arrival in found.found:
        told(arrival.name)
        try:
            case_id, new = take(room, arrival, user, priority)
        except (MedunetError, OSError, MemoryError) as error:
            refused[arrival.name] = str(error) or f"{arrival.name}: the memory is full"
            continue
        ids[new].append(case_id)
    return {"added": ids[True], "known": ids[False], "refused": refused}


def _only_key(arrival: Arrival, opened: Opened) -> NewCase:
    """Return as much of a case as makes two the same; no voxel is read for it."""
    return NewCase(
        arrival.name, arrival.source, (), opened.sha256, "", 0, (), (), labels={}, model=arrival.model
    )


def _as_it_was(room: Room, case_id: str, arrival: Arrival) -> bool:
    """Tell whether a known case has its image where it was, and a mask if there is one to have."""
    case = get_case(room, case_id)
    return case.images == tuple(map(str, arrival.paths)) and (case.rev > 0 or arrival.mask is None)
