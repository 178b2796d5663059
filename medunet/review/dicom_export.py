"""Accepted masks of DICOM scans as DICOM Segmentation: OUT/CASE/{seg.dcm, result.json}."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from medunet import __version__
from medunet.config.base import parse
from medunet.config.card import Label
from medunet.errors import DataError, MedunetError
from medunet.io.dicom.reference import ScanReference
from medunet.io.planes import PlaneGrid
from medunet.io.read import content_hash
from medunet.io.results.maker import Maker
from medunet.io.results.seg import write_seg
from medunet.io.volume import Array, Volume
from medunet.io.write import write_atomic
from medunet.review import audit
from medunet.review.cases import Case
from medunet.review.export import Ready, accepted, ready_of, whole_folder
from medunet.review.image import image_of
from medunet.review.lineage import lineage_of
from medunet.review.room import Room
from medunet.review.versions import mask_of

SEG, RESULT = "seg.dcm", "result.json"


def export_seg(
    room: Room,
    out: Path,
    *,
    ids: Sequence[str] | None = None,
    user: str,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Write a SEG for each accepted case of a DICOM scan; return {out, cases, refused}.

    Every object carries the identity of its scan. Pictures and scans in other formats are refused, as are
    numbered objects, which a segment each would not fit, and empty masks. The same version gives the same
    UIDs, so that an archive keeps one.
    """
    ready, refused = ready_of(room, accepted(room, ids))
    done: list[str] = []
    with whole_folder(out) as temporary:
        for one in ready:
            told(one.case.id)
            try:
                _put(room, temporary / one.case.id, one)
            except (MedunetError, OSError, MemoryError) as error:
                refused[one.case.id] = str(error) or "the memory is full"
                continue
            done.append(one.case.id)
        if not done:
            raise DataError(f"export: no case became DICOM; the first: {next(iter(refused.values()))}")
        with room.begin() as connection:
            audit.record(connection, user, "exported", None, {"layout": "seg", "cases": sorted(done)})
    return {"out": str(out), "cases": len(done), "refused": refused}


def _put(room: Room, folder: Path, one: Ready) -> None:
    case, item = one.case, one.item
    if case.instances or not (len(item.sources) == 1 and item.sources[0].slices):
        what = "numbers objects" if case.instances else "is not one DICOM series"
        raise DataError(
            f"case {case.id}: {what}; expected labels on a DICOM scan. Export it with --layout msd"
        )
    lineage, volume = lineage_of(room, case), image_of(case)
    grid = volume.grid
    origins = grid.origins if isinstance(grid, PlaneGrid) else None
    reference = ScanReference.of(item.sources[0].files, grid, origins)
    mask = _stored(mask_of(room, case.id, case.rev), volume)
    path = folder / SEG
    folder.mkdir(parents=True)
    made = write_seg(path, mask, reference, labels_of(case), _maker(case, lineage))
    facts = {"identity": lineage["mask_sha256"], "model_sha256": case.facts.get("model_sha256", "")}
    result = {**lineage, **facts, "files": {SEG: content_hash(path)}, "warnings": list(made.warnings)}
    with write_atomic(folder / RESULT) as temporary:
        temporary.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def labels_of(case: Case) -> Mapping[int, Label]:
    """Return the labels of a case as a card has them: those of its card, else names and codes."""
    known = (case.facts.get("card") or {}).get("labels") or {}
    found = {}
    for value, label in case.labels.items():
        plain: dict[str, Any] = {"name": label.name} | ({"snomed": label.snomed} if label.snomed else {})
        found[value] = parse(Label, known.get(str(value), plain), where=f"label {value} of case {case.id}")
    return found


def _stored(mask: Array, volume: Volume) -> Array:
    """Return a mask as its scan is stored, in the smallest type that holds it."""
    turned = volume.grid.from_ras(mask)
    return np.asfortranarray(turned, np.uint8 if int(mask.max(initial=0)) < 256 else np.uint16)


def _maker(case: Case, lineage: Mapping[str, Any]) -> Maker:
    """Return who made it: a person, alone or from a model's proposal; the date is that of the decision."""
    model = (
        str(case.facts.get("model_sha256") or "") or hashlib.sha256((case.model or "").encode()).hexdigest()
    )
    about = json.dumps([case.id, lineage["rev"], lineage["mask_sha256"]])
    return Maker(
        name=f"reviewed: {case.model or 'by hand'}"[:64],
        version=__version__,
        model_sha256=model,
        config_sha256=hashlib.sha256(about.encode()).hexdigest(),
        made=datetime.fromtimestamp(lineage["decision"]["created"]).replace(microsecond=0),
        algorithm="SEMIAUTOMATIC" if case.model else "MANUAL",
    )
