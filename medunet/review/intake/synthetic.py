"""A synthetic set: SET/{manifest.json, samples.jsonl, card.yaml, images/, masks/}."""

from __future__ import annotations

import json
from pathlib import Path

from medunet.config.base import parse
from medunet.config.card import Card
from medunet.config.load import read_yaml
from medunet.config.samples import Manifest, Sample
from medunet.data.cases import find_cases
from medunet.errors import DataError
from medunet.review.intake.arrival import Arrival, Arrivals, Ask, one_per_file
from medunet.review.intake.predictions import read_json

PARTS = ("manifest.json", "samples.jsonl", "card.yaml")
REVOKED = "revoked.jsonl"  # samples taken back for a patient who left


def is_set(folder: Path) -> bool:
    """Tell whether a folder is a synthetic set."""
    return all((folder / name).is_file() for name in PARTS)


def arrivals(place: Path, ask: Ask) -> Arrivals:
    """Return the samples of a set that lie in images/; those in quarantine and those taken back stay out."""
    card = ask.card or parse(Card, read_yaml(place / "card.yaml"), where=str(place / "card.yaml"))
    manifest = parse(Manifest, read_json(place / "manifest.json"), where=str(place / "manifest.json"))
    samples = {sample.case: sample for sample in _samples(place / "samples.jsonl")}
    gone = {str(entry["case"]) for entry in _lines(place / REVOKED)} if (place / REVOKED).is_file() else set()
    cases = find_cases(card, place, labelled=False)
    found, refused = [], {}
    for case in (*cases.cases, *cases.unlabelled):
        sample = samples.get(case.id)
        if case.id in gone or sample is None:
            why = "was taken back for a patient who left" if case.id in gone else "is not in samples.jsonl"
            refused[case.id] = f"{case.images[0]}: {why}. Delete the file"
            continue
        arrival = Arrival(
            case.id,
            "synthetic",
            one_per_file(case.images),
            case.mask,
            card,
            card.mask,
            patient=case.patient,
            model=ask.model or manifest.generator_name,
            input_sha256=(sample.image_sha256,),
            mask_sha256=sample.mask_sha256,
            facts=_facts(sample, manifest),
        )
        found.append(arrival)
    return Arrivals(tuple(found), refused)


def _facts(sample: Sample, manifest: Manifest) -> dict[str, object]:
    return {
        "generator_sha256": manifest.weights_sha256,
        "parents": list(sample.parents),
        "attributes": dict(sample.attributes),
    }


def _samples(path: Path) -> list[Sample]:
    return [parse(Sample, line, where=str(path)) for line in _lines(path)]


def _lines(path: Path) -> list[dict[str, object]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}). Make the set again, or cut the line") from None
