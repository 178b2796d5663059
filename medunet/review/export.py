"""Accepted masks as a training set with its lineage: OUT/{imagesTr, labelsTr, card.yaml, manifest.json}."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medunet import __version__
from medunet.config.card import Card
from medunet.config.load import write_yaml
from medunet.errors import ConfigError, DataError, MedunetError
from medunet.io.read import content_hash
from medunet.io.rights import give_rights
from medunet.review import audit
from medunet.review.cases import Case, find_cases, get_case
from medunet.review.export_card import card_of, case_names, check_alike
from medunet.review.export_files import LAYOUTS, Form, Item, Layout, form_of, put_image, put_mask
from medunet.review.image import image_of, image_sha256, sources_of
from medunet.review.lineage import first_of_patients, lineage_of
from medunet.review.room import Room
from medunet.review.versions import mask_of

MANIFEST, CARD, DATASET = "manifest.json", "card.yaml", "dataset.json"
PAGE = 500
IDENTITY = "DICOM files are passed on as they are, with their patients' identity: see `medunet deidentify`."


class Ready(NamedTuple):
    """A case whose image is there and unchanged, and its name in the set."""

    case: Case
    item: Item
    name: str


class Shape(NamedTuple):
    """What all cases of a set share."""

    layout: Layout
    form: Form
    channels: int


def accepted(room: Room, ids: Sequence[str] | None = None) -> list[Case]:
    """Return accepted cases, the first added first; ConfigError if there is none, or one of `ids` is not."""
    if ids is not None:
        cases = [get_case(room, case_id) for case_id in dict.fromkeys(ids)]
        if left := [f"{case.id} ({case.state})" for case in cases if case.state != "accepted"]:
            raise ConfigError(f"export: not accepted: {', '.join(left)}. Leave them out, or decide first.")
    else:
        cases = list(_pages(room))
    if not cases:
        raise ConfigError("export: no case is accepted yet. Review cases first: medunet review.")
    return cases


def export(  # noqa: PLR0913  the one entrance; everything after the folder is a keyword
    room: Room,
    out: Path,
    *,
    layout: Layout = "msd",
    ids: Sequence[str] | None = None,
    user: str,
    name: str | None = None,
    modality: str | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Write accepted cases as a training set; return {out, cases, patients, card, refused, remarks}.

    Images are copied as they are wherever the layout can hold them, masks lie on their grids. The folder
    appears whole or not at all. ConfigError where cases cannot share a set; a case that fails is refused and
    the others go on. `told` hears the id of each case.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f"--layout {layout}: expected one of {', '.join(LAYOUTS)}.")
    cases = accepted(room, ids)
    check_alike(cases)
    ready, refused = ready_of(room, cases)
    items = [one.item for one in ready]
    shape = Shape(layout, form_of(layout, items, cases[0].dims), _channels(items, cases))
    entries: list[dict[str, Any]] = []
    with whole_folder(out) as temporary:
        for one in ready:
            told(one.case.id)
            try:
                entries.append(_put(room, temporary, one, shape))
            except (MedunetError, OSError, MemoryError) as error:
                refused[one.case.id] = str(error) or "the memory is full"
        if not entries:
            raise DataError(f"export: no case could be written; the first: {next(iter(refused.values()))}")
        written = {entry["id"] for entry in entries}
        mine = [case for case in cases if case.id in written]
        card = card_of(mine, name or out.name, shape.form.files, shape.channels, modality=modality)
        digest = _describe(temporary, card, entries, shape)
        body = {"manifest_sha256": digest, "layout": layout, "cases": sorted(written)}
        with room.begin() as connection:
            audit.record(connection, user, "exported", None, body)
    return {
        "out": str(out),
        "card": str(out / CARD),
        "cases": len(entries),
        "patients": len({entry["case"].partition("_")[0] for entry in entries}),
        "refused": refused,
        "remarks": [IDENTITY] if shape.form.series else [],
    }


def ready_of(room: Room, cases: Sequence[Case]) -> tuple[list[Ready], dict[str, str]]:
    """Return the cases whose images are there and unchanged, and why the others are not, by id."""
    names = case_names(cases, first_of_patients(room))
    ready: list[Ready] = []
    refused: dict[str, str] = {}
    for case in cases:
        try:
            sources = sources_of(case)
            if image_sha256(sources)[0] != case.image_sha256:
                raise DataError(
                    f"case {case.id}: its image was changed since it was added (another hash), so its mask "
                    "may not fit. Put the image back"
                )
        except (MedunetError, OSError) as error:
            refused[case.id] = str(error)
            continue
        channels, regular = int(case.facts.get("channels", 1)), "irregular" not in case.facts
        ready.append(Ready(case, Item(sources, channels, regular), names[case.id]))
    if not ready:
        raise DataError(f"export: no image can be read; the first: {next(iter(refused.values()))}")
    return ready, refused


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `out` if all goes well; ConfigError if `out` holds anything."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out}: is there already. Give a new folder; an export is never changed.")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".part-{out.name}-", dir=out.parent))
    try:
        yield temporary
        give_rights(temporary)
        temporary.replace(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _pages(room: Room) -> Iterator[Case]:
    start = 0
    while page := find_cases(room, state="accepted", order="added", limit=PAGE, offset=start):
        yield from page
        start += PAGE


def _channels(items: Sequence[Item], cases: Sequence[Case]) -> int:
    """Return the channels of the set: those of the cases' own card, else the most that an image has.

    Grey pictures among coloured ones are repeated when read; volumes of unlike channels share no set.
    """
    said = {(case.facts.get("card") or {}).get("channels") for case in cases}
    if len(said) == 1 and (known := said.pop()) is not None:
        return int(known)
    found = {item.channels for item in items}
    if cases[0].dims == 3 and len(found) > 1:
        raise ConfigError(
            f"export: images have {sorted(found)} channels; expected as many in all. Choose with --id."
        )
    return max(found)


def _put(room: Room, out: Path, one: Ready, shape: Shape) -> dict[str, Any]:
    """Write one case; return its entry of the manifest."""
    case = one.case
    lineage = lineage_of(room, case)
    colour = shape.form.ending is not None and case.dims == 2  # all pictures alike
    volume = image_of(case, shape.channels if colour else None)
    mask = mask_of(room, case.id, case.rev)
    if shape.layout == "nnunet" and case.instances:
        mask = (mask > 0).astype(np.uint8)  # nnU-Net knows no objects
    images = put_image(out, one.name, volume, one.item.sources, shape.form)
    path = put_mask(out, one.name, mask, volume, images, shape.form)
    return {
        "case": one.name,
        "images": [image.relative_to(out).as_posix() for image in images],
        "mask": path.relative_to(out).as_posix(),
        "mask_file_sha256": content_hash(path),
        "image_converted": shape.form.ending is not None and not shape.form.series,
        **lineage,
    }


def _describe(out: Path, card: Card, entries: Sequence[dict[str, Any]], shape: Shape) -> str:
    """Write card, dataset.json and manifest; return the hash of the manifest."""
    write_yaml(out / CARD, card.model_dump(mode="json", exclude_none=True))
    (out / DATASET).write_text(json.dumps(_dataset(card, entries, shape), indent=1) + "\n", encoding="utf-8")
    manifest = {
        "format": 1,
        "made_by": f"medunet {__version__}",
        "made": time.time(),
        "layout": shape.layout,
        "card_sha256": content_hash(out / CARD),
        "cases": list(entries),
    }
    text = json.dumps(manifest, indent=1, allow_nan=False) + "\n"
    (out / MANIFEST).write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def _dataset(card: Card, entries: Sequence[dict[str, Any]], shape: Shape) -> dict[str, Any]:
    """Return dataset.json as the layout knows it, for programs that read no card."""
    labels = {str(value): label.name for value, label in card.labels.items()}
    channels = {str(number): card.modality for number in range(shape.channels)}
    if shape.layout == "nnunet":
        first = Path(entries[0]["mask"]).name
        return {
            "channel_names": channels,
            "labels": {"background": 0, **{name: int(value) for value, name in labels.items()}},
            "numTraining": len(entries),
            "file_ending": first[first.index(".") :],
        }
    pairs = [{"image": f"./{entry['images'][0]}", "label": f"./{entry['mask']}"} for entry in entries]
    return {
        "name": card.name,
        "description": card.title,
        "licence": card.licence,
        "modality": channels,
        "labels": {"0": "background", **labels},
        "numTraining": len(entries),
        "training": pairs,
    }
