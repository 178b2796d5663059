"""From an arrival to a case: the image and the mask are read once, whole, and must fit each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medunet.config.card import Card
from medunet.errors import DataError
from medunet.io.check import same_grid
from medunet.io.dicom.file import PARSE_ERRORS, read_header, tags_of
from medunet.io.find import Source
from medunet.io.read import content_hash
from medunet.io.read import read_header as header_of
from medunet.io.volume import Array, Volume
from medunet.review.cases import NewCase
from medunet.review.image import image_sha256, read_sources, source_in
from medunet.review.intake.arrival import Arrival
from medunet.review.intake.labels import labels_of, mask_on
from medunet.review.worklist import priority_of

MODALITIES = {
    "CT": "CT",
    "MR": "MR",
    "PT": "PET",
    "US": "US",
    "CR": "XR",
    "DX": "XR",
    "MG": "XR",
    "OP": "fundus",
}
CARD_FACTS = ("title", "source", "licence", "channels", "pixel_mm", "tolerance_mm", "labels")


class Reading(NamedTuple):
    """A case to be added, and its first mask."""

    case: NewCase
    mask: Array | None


class Opened(NamedTuple):
    """The sources of an arrival and their hashes, before any voxel is read."""

    sources: tuple[Source, ...]
    sha256: str


def open_arrival(arrival: Arrival) -> Opened:
    """Return where the image lies and its hash; DataError if gone, or not what its mask was drawn on."""
    sources = tuple(source_in(channel.files, channel.part) for channel in arrival.channels)
    whole, hashes = image_sha256(sources)
    if arrival.input_sha256 and arrival.input_sha256 != hashes:
        raise DataError(
            f"{arrival.paths[0]}: was changed since its mask was made (its hash differs). Put the image "
            "back, or make the mask again"
        )
    if arrival.mask is not None and arrival.mask_sha256 not in ("", content_hash(arrival.mask)):
        raise DataError(
            f"{arrival.mask}: was changed since it was written (its hash differs). Corrected by hand? Add it "
            "as --kind folder with --images, or put the file back"
        )
    return Opened(sources, whole)


def read(arrival: Arrival, opened: Opened, priority: int = 0) -> Reading:
    """Return the case and its mask; DataError says what is wrong with a file. priority: whole steps more."""
    card = arrival.card
    channels = _channels(opened.sources, card)
    volume = read_sources(opened.sources, channels, card.pixel_mm if card else None, arrival.irregular)
    if card is not None and len(volume.shape) != card.dims:
        raise DataError(
            f"{volume.path}: has {len(volume.shape)} axes; the card {card.name} is {card.dims}D. "
            "Give another card"
        )
    names = {int(v): str(n) for v, n in (arrival.facts.get("label_names") or {}).items()}
    mask, objects = None, arrival.rule.rule == "instances"
    if arrival.mask is not None:
        mask, objects = mask_on(arrival.mask, volume, arrival.rule, card, names)
    labels = labels_of(card, {1: "object"} if objects and card is None else names, mask)
    flags = tuple(dict.fromkeys([*arrival.flags, *_flags(volume, mask)]))
    uncertainty = _uncertainty(arrival.uncertainty_map, volume, mask)
    case = NewCase(
        name=arrival.name,
        source=arrival.source,
        images=tuple(str(path) for path in arrival.paths),
        image_sha256=opened.sha256,
        modality=card.modality if card else MODALITIES.get(volume.modality or "", volume.modality or ""),
        dims=len(volume.shape),
        shape=volume.shape,
        spacing_mm=volume.spacing_mm,
        labels=labels,
        instances=objects,
        synthetic=arrival.source == "synthetic" or volume.header.get("synthetic") == "YES",
        risk=arrival.risk,
        uncertainty=uncertainty,
        priority=priority_of(arrival.risk, uncertainty, flags, raised=priority),
        flags=flags,
        facts=_facts(arrival, opened.sources, volume, channels),
        patient=arrival.patient or _patient(opened.sources[0]),
        uncertainty_map=str(arrival.uncertainty_map.resolve()) if arrival.uncertainty_map else None,
        model=arrival.model,
    )
    return Reading(case, mask)


def _channels(sources: Sequence[Source], card: Card | None) -> int:
    """Return how many channels are shown: colour stays colour, though a model may look at its luminance."""
    if len(sources) > 1:
        return len(sources)
    header = header_of(sources[0], irregular="resample")
    if len(header.shape) == 2 or card is None:
        return header.channels
    return card.channels


def _flags(volume: Volume, mask: Array | None) -> list[str]:
    """Return doubts that need no model: see `worklist`."""
    empty = mask is not None and not mask.any()
    return ["empty"] * empty + ["no_mask"] * (mask is None) + ["reading"] * bool(volume.warnings)


def _uncertainty(place: Path | None, image: Volume, mask: Array | None) -> float | None:
    """Return the mean of an uncertainty map inside the mask, or of the whole map where that is empty."""
    if place is None:
        return None
    drawn = read_sources([source_in([place])], 1, None)
    if problem := same_grid(image, drawn):
        raise DataError(f"{place}: the uncertainty map does not lie on its image; {problem}")
    values = drawn.array[0] / (255.0 if drawn.header.get("dtype") == "uint8" else 1.0)
    if values.min() < 0 or values.max() > 1:
        raise DataError(
            f"{place}: holds {values.min():g} to {values.max():g}; expected 0 to 1, or 8-bit 0 to 255"
        )
    inside = values[mask > 0] if mask is not None and mask.any() else values
    return round(float(np.mean(inside)), 4)


def _facts(arrival: Arrival, sources: Sequence[Source], volume: Volume, channels: int) -> dict[str, Any]:
    """Return what is needed to read the image again, and what an export wants to know."""
    facts: dict[str, Any] = {**arrival.facts, "channels": channels, "spacing_known": volume.spacing_known}
    facts |= {"format": volume.header["format"], "dicom": bool(sources[0].slices)}
    if any(len(channel.files) != 1 or channel.part for channel in arrival.channels):
        facts["groups"] = [[len(channel.files), channel.part] for channel in arrival.channels]
    if arrival.irregular != "error":
        facts["irregular"] = arrival.irregular
    if (card := arrival.card) is not None:
        facts["pixel_mm"] = card.pixel_mm
        facts["card"] = {"name": card.name, **_of_card(card)}
    return facts


def _of_card(card: Card) -> Mapping[str, Any]:
    return card.model_dump(mode="json", include=set(CARD_FACTS), exclude_none=True)


def _patient(source: Source) -> str | None:
    """Return the PatientID of a DICOM series; other files do not say."""
    if not source.slices:
        return None
    try:
        header, _ = read_header(source.slices[0].path, tags_of("PatientID"))
    except PARSE_ERRORS:
        return None
    return str(header.get("PatientID") or "").strip() or None
