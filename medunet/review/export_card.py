"""The card of an export, so that a training reads it like any other data set."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from medunet.config.base import parse
from medunet.config.card import SYNTHETIC_CARD, Card
from medunet.errors import ConfigError
from medunet.review.cases import Case

PATIENT = "^(p[0-9a-f]{16})_"  # of the names that `case_names` gives
SAME = ("modality", "dims", "labels", "instances")  # what all cases of one training set share
NAMED = r"[^A-Za-z0-9_ ,()/-]"  # letters that a card does not allow in the name of a label


def check_alike(cases: Sequence[Case]) -> None:
    """Raise a ConfigError that says where the cases of an export differ in what a training set shares."""
    kinds = {"real": [c for c in cases if not c.synthetic], "synthetic": [c for c in cases if c.synthetic]}
    if all(kinds.values()):
        counts = ", ".join(f"{len(found)} {kind}" for kind, found in kinds.items())
        raise ConfigError(
            f"export: {counts} cases are accepted; real and synthetic cases never share a set. Choose with "
            "--source, or by --id."
        )
    first = cases[0]
    for case in cases[1:]:
        for name in SAME:
            if (mine := _shared(case, name)) != (theirs := _shared(first, name)):
                raise ConfigError(
                    f"export: case {case.id} has {name} {mine}, case {first.id} has {theirs}; expected one "
                    "kind of data in a training set. Choose cases with --id, --label or --source."
                )


def _shared(case: Case, name: str) -> Any:
    if name == "labels":
        return {value: label.name for value, label in case.labels.items()}
    return getattr(case, name)


def case_names(cases: Sequence[Case], first_of: dict[str, str]) -> dict[str, str]:
    """Return the name of each case in the set, by id: its patient, as a token, and its id.

    first_of: patient -> id of the first case of that patient in the room, which stands for the patient: no
    name and no hash of a name leaves the room, yet folds never cut a patient.
    """
    return {case.id: f"p{first_of.get(case.patient or '', case.id)}_{case.id}" for case in cases}


def card_of(
    cases: Sequence[Case], name: str, files: dict[str, str], channels: int, *, modality: str | None = None
) -> Card:
    """Return the card of the set: names and codes of labels, and what all cases' own cards agree on."""
    first = cases[0]
    known = [case.facts.get("card") or {} for case in cases]
    common = {key: known[0][key] for key in known[0] if all(one.get(key) == known[0][key] for one in known)}
    said = modality or first.modality
    if not said:
        raise ConfigError("export: the modality of the cases is not known. Add --modality, such as MR.")
    sources = sorted({str(one.get("name", case.source)) for one, case in zip(known, cases, strict=True)})
    licences = sorted({str(one["licence"]) for one in known if "licence" in one})
    values: dict[str, Any] = {
        "name": _name(name, synthetic=first.synthetic),
        "title": f"Reviewed with medunet: {common.get('title', ', '.join(sources))}",
        "source": f"accepted in a medunet reading room, from {', '.join(sources)}",
        "licence": " and ".join(licences) or "unknown - ask who provided the images",
        "modality": said,
        "dims": first.dims,
        "layout": "folders",
        "files": files,
        "channels": channels,
        "labels": common.get("labels") or _labels(first),
        "mask": {"rule": "instances" if first.instances else "exact"},
        "patient": PATIENT,
    }
    for key in ("pixel_mm", "tolerance_mm"):
        if key in common:
            values[key] = common[key]
    return parse(Card, values, where=f"card of the export {name}")


def _labels(case: Case) -> dict[str, dict[str, str]]:
    found = {}
    for value, label in case.labels.items():
        code = {"snomed": label.snomed} if label.snomed else {}
        found[str(value)] = {"name": re.sub(NAMED, "_", label.name), **code}
    return found


def _name(name: str, *, synthetic: bool) -> str:
    plain = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_") or "reviewed"
    return plain if plain.endswith(SYNTHETIC_CARD) or not synthetic else f"{plain}{SYNTHETIC_CARD}"
