"""What `medunet studies` wrote: STUDY/{result.json, mask.nii.gz}; where the images lie, the ledger knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medunet.config.card import Card
from medunet.config.run import RunFolder
from medunet.errors import DataError, MedunetError
from medunet.io.find import Source
from medunet.review.intake.arrival import Arrival, Arrivals, Ask, StudyEntry
from medunet.review.intake.folder import of_source
from medunet.review.intake.predictions import card_of_model, map_beside, read_json, sources_by_hash

RESULT = "result.json"
MASKS = ("mask.nii.gz", "mask.png")


def is_result(folder: Path) -> bool:
    """Tell whether a folder is the result of one study."""
    place = folder / RESULT
    try:
        return place.is_file() and read_json(place).keys() >= {"identity", "model_sha256"}
    except DataError:
        return False


def arrivals(place: Path, ask: Ask) -> Arrivals:
    """Return the studies in a folder of results, or the one in a result's own folder."""
    folders = [place] if is_result(place) else [path for path in sorted(place.iterdir()) if is_result(path)]
    entries = {entry.folder.resolve(): entry for entry in ask.studies}
    known = sources_by_hash(ask.images, place) if ask.images else {}
    found, refused = [], {}
    for folder in folders:
        try:
            found.append(_one(folder, entries.get(folder.resolve()), known, ask))
        except MedunetError as error:
            refused[folder.name] = str(error)
    return Arrivals(tuple(found), refused)


def _one(folder: Path, entry: StudyEntry | None, known: Mapping[str, Source], ask: Ask) -> Arrival:
    result = read_json(folder / RESULT)
    hashes = tuple(result.get("input_sha256") or ())
    if hashes and all(sha in known for sha in hashes):
        channels = tuple(of_source(known[sha]) for sha in hashes)
    elif entry is not None:
        channels = entry.channels
    else:
        raise DataError(
            f"{folder}: where its images lie is not known. Give the --ledger that the study was queued in, "
            "or the folder of its --images, unchanged"
        )
    mask = next((folder / name for name in MASKS if (folder / name).is_file()), None)
    if mask is None:
        raise DataError(f"{folder}: holds no mask; queue the study with --format nifti as well")
    model, options = result.get("model") or {}, result.get("options") or {}
    flags = [str(flag["code"]) for flag in result.get("flags", [])]
    return Arrival(
        folder.name,
        "studies",
        channels,
        mask,
        ask.card or _card(entry, folder, model),
        risk=float(result["risk"]) if result.get("risk") is not None else None,
        flags=tuple(dict.fromkeys(flags)),
        uncertainty_map=map_beside(mask),
        model=ask.model or str(model.get("run", "")) or None,
        input_sha256=hashes,
        mask_sha256=str((result.get("files") or {}).get(mask.name, "")),
        irregular=str(options.get("irregular") or "error"),
        facts=_facts(result),
    )


def _card(entry: StudyEntry | None, folder: Path, model: Mapping[str, Any]) -> Card:
    if entry is not None and (entry.model / "card.yaml").is_file():
        return RunFolder.open(entry.model).card
    return card_of_model(folder, model)


def _facts(result: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("model_sha256", "volume_ml", "area_mm2", "how")
    told = {key: result[key] for key in kept if key in result}
    doubts = [{"code": flag["code"], "text": flag["text"]} for flag in result.get("flags", [])]
    return {**told, "model_facts": result.get("model") or {}, "doubts": doubts}
