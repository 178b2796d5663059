"""What `medunet predict` wrote: NAME.report.json beside each mask. Images are known by their hashes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medunet.config.card import Card
from medunet.config.load import load_card
from medunet.config.run import RunFolder
from medunet.errors import ConfigError, DataError
from medunet.io.find import Source, find_images
from medunet.io.read import content_hash
from medunet.review.intake.arrival import Arrival, Arrivals, Ask
from medunet.review.intake.folder import of_source

REPORT, ALL = ".report.json", "predictions.json"
MAPS = ("uncertainty.nii.gz", "uncertainty.png", "uncertainty.tif")


def arrivals(place: Path, ask: Ask) -> Arrivals:
    """Return the predictions of a folder whose images lie below `ask.images`.

    A report names the hash of its image: only that very image is taken, whatever it is called now.
    """
    if ask.images is None:
        raise ConfigError(
            f"{place}: holds predictions, which do not say where their images lie. Add --images FOLDER."
        )
    known = sources_by_hash(ask.images, place)
    found, refused = [], {}
    for path in sorted(place.glob(f"*{REPORT}")):
        name = path.name.removesuffix(REPORT)
        try:
            found.append(_one(path, name, known, ask))
        except (ConfigError, DataError) as error:
            refused[name] = str(error)
    return Arrivals(tuple(found), refused)


def _one(path: Path, name: str, known: Mapping[str, Source], ask: Ask) -> Arrival:
    report = read_json(path)
    hashes, mask = tuple(report.get("input_sha256") or ()), path.parent / str(report.get("mask"))
    if not mask.is_file() or mask.parent != path.parent:
        raise DataError(f"{path}: its mask {report.get('mask')} is not beside it. Predict again")
    if not hashes or (missing := [sha for sha in hashes if sha not in known]):
        raise DataError(
            f"{path}: the image it was made from is not below {ask.images} (no file has the hash "
            f"{missing[0][:12] if hashes else 'it should name'}). Give the folder of the images, unchanged"
        )
    model = report.get("model") or {}
    return Arrival(
        name,
        "predictions",
        tuple(of_source(known[sha]) for sha in hashes),
        mask,
        ask.card or card_of_model(path.parent, model),
        uncertainty_map=map_beside(mask),
        model=ask.model or str(model.get("run", "")) or None,
        input_sha256=hashes,
        irregular=str((report.get("options") or {}).get("irregular", "error")),
        facts={"model_facts": model},
    )


def sources_by_hash(images: Path, leave_out: Path) -> dict[str, Source]:
    """Return the images below a folder by the hash of their files; `leave_out` holds masks."""
    return {content_hash(source): source for source in find_images([images], leave_out=leave_out).sources}


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; DataError says what is wrong with it."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error}). Make it again") from None
    if not isinstance(said, dict):
        raise DataError(f"{path}: holds a {type(said).__name__}; expected an object. Make it again")
    return said


def card_of_model(folder: Path, model: Mapping[str, Any]) -> Card:
    """Return the card of the run that made some masks: the run's, else the shipped one of that name."""
    place = folder / ALL
    run = Path(str(read_json(place).get("run", ""))) if place.is_file() else Path()
    if run.name == model.get("run") and (run / "card.yaml").is_file():
        return RunFolder.open(run).card
    try:
        return load_card(str(model.get("card", "")))
    except ConfigError:
        raise ConfigError(
            f"{folder}: what its labels mean is not known: the run {model.get('run')} is not there, and no "
            f"card {model.get('card')} is shipped. Add --card FILE."
        ) from None


def map_beside(mask: Path) -> Path | None:
    """Return the uncertainty map of a mask: uncertainty.nii.gz, or NAME.uncertainty.nii.gz for several."""
    stem = mask.name.split(".")[0]
    names = [f"{stem}.{name}" for name in MAPS] + (list(MAPS) if stem == "mask" else [])
    return next((mask.parent / name for name in names if (mask.parent / name).is_file()), None)
