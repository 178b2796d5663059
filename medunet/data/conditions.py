"""What is known of each training case besides its mask: attributes that a generator can be asked for.

They come from the card's table, from DICOM headers, and from the images themselves (colour or grey, labels
brighter or darker than what is around them). One that does not differ between the cases is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medunet.config.attributes import Attribute, Value
from medunet.config.card import IGNORED, Card
from medunet.config.generator import Learnt, Scale
from medunet.config.plan import Plan
from medunet.data.cache import Entry
from medunet.data.cases import Case
from medunet.data.fingerprint import Fingerprint
from medunet.data.preprocess import FLAT_STD, network_shape, resample_image
from medunet.data.table import Known, read_table, without_line
from medunet.io.acquisition import acquisition_of
from medunet.io.read import read_header, read_image

CASES_EACH = 2  # a category has at least so many cases on average; fewer are names, not categories
MOST_CATEGORIES = 50
RECORD_NUMBERS = 1000  # whole numbers from here on that all differ name cases: record numbers
DATE = re.compile(r"(18|19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])")  # as a number, such as 19740512
SAME_NUMBER = 0.01  # relative spread below which a number does not count as an attribute


def learn(
    entries: Sequence[Entry],
    cases: Mapping[str, Case],
    prints: Mapping[str, Fingerprint],
    card: Card,
    plan: Plan,
    data: Path,
    largest_weight: float,
) -> Learnt:
    """Return what a generator keeps of its training cases; never pass held-out ones.

    prints: of the labelled cases, the others are scans without a mask. DataError where the card's table
    names none of them.
    """
    known = known_of_all(entries, cases, prints, card, data)
    attributes = attributes_of(list(known.values()))
    scales, spans = {}, []
    for entry in entries:
        scales[entry.case], span = _scale(cases[entry.case], card, plan, prints.get(entry.case))
        spans.append(span)
    return Learnt(
        attributes=attributes,
        codes={case: tuple(facts.get(a.name) for a in attributes) for case, facts in known.items()},
        scales=scales,
        label_weights=label_weights(list(prints.values()), tuple(card.labels), largest_weight),
        whole_numbers=all(whole for _, _, whole in spans),
        lowest=min(low for low, _, _ in spans),
        highest=max(high for _, high, _ in spans),
    )


def known_of_all(
    entries: Sequence[Entry],
    cases: Mapping[str, Case],
    prints: Mapping[str, Fingerprint],
    card: Card,
    data: Path,
) -> dict[str, Known]:
    """Return everything that is known of training cases; see `learn`."""
    table: dict[str, Known] = {}
    if card.attributes:
        table = read_table(data / card.attributes)
        without_line(table, [cases[entry.case] for entry in entries], data / card.attributes)
    known = {}
    for entry in entries:
        case, found = cases[entry.case], prints.get(entry.case)
        header = found or read_header(case.images[0], pixel_mm=card.pixel_mm)
        known[entry.case] = known_of(entry, case, header.spacing_mm, table)
    return known


def words_of(learnt: Learnt, cases: Mapping[str, Case], card: Card, data: Path) -> list[str]:
    """Return in words which attributes were taken, what of the card's table was not, and who is not in it."""
    names = [attribute.name for attribute in learnt.attributes]
    words = [f"attributes: {', '.join(names) or 'none differs between the training cases'}"]
    if card.attributes is None:
        return words
    place = data / card.attributes
    table = read_table(place)
    columns = sorted({name for facts in table.values() for name in facts} - set(names))
    if columns:
        words.append(
            f"{place.name}: left out {', '.join(columns)}: the same in every training case, or the name or "
            "number of single ones"
        )
    if missing := without_line(table, [cases[case] for case in learnt.codes], place):
        words.append(f"{place.name}: {len(missing)} of {len(learnt.codes)} training cases have no line")
    return words


def codes_of(learnt: Learnt, cases: Sequence[str]) -> NDArray[np.float32]:
    """Return what the network is told of cases: (cases, A), NaN where unknown."""
    rows = [[a.code(v) for a, v in zip(learnt.attributes, learnt.codes[c], strict=True)] for c in cases]
    return np.array(rows, np.float32).reshape(len(cases), len(learnt.attributes))


def known_of(entry: Entry, case: Case, spacing_mm: Sequence[float], table: Mapping[str, Known]) -> Known:
    """Return everything that is known of a case by name."""
    facts = image_facts(entry)
    facts |= {f"spacing_{axis}_mm": edge for axis, edge in zip("xyz", spacing_mm, strict=False)}
    if case.images[0].is_dir():
        facts |= acquisition_of(case.images[0])
    return facts | table.get(case.patient, {}) | table.get(case.id, {})


def image_facts(entry: Entry) -> Known:
    """Return what an image itself says: grey or colour, and labels brighter or darker than the rest."""
    image, mask = np.asarray(entry.image, np.float32), np.asarray(entry.mask)
    facts: Known = {"kind": "colour" if (image != image[:1]).any() else "grey"}
    inside, outside = (mask > 0) & (mask != IGNORED), mask == 0
    if inside.any() and outside.any():
        grey = image.mean(0)
        facts["labels_are"] = "bright" if grey[inside].mean() > grey[outside].mean() else "dark"
    return facts


def attributes_of(known: Sequence[Known]) -> tuple[Attribute, ...]:
    """Return the attributes that differ between cases, sorted by name."""
    names = sorted({name for facts in known for name in facts})
    found = (_attribute(name, [facts[name] for facts in known if name in facts]) for name in names)
    return tuple(attribute for attribute in found if attribute is not None)


def _attribute(name: str, values: Sequence[Value]) -> Attribute | None:
    if all(isinstance(value, float) for value in values):
        numbers = np.array(values, float)
        low, high, mean = float(numbers.min()), float(numbers.max()), float(numbers.mean())
        if high - low <= SAME_NUMBER * max(abs(high), abs(low)):
            return None
        if _names_cases(numbers):
            return None
        return Attribute(name=name, mean=mean, std=float(numbers.std()) or 1.0, low=low, high=high)
    categories = tuple(sorted({str(value) for value in values}))
    most = min(MOST_CATEGORIES, len(values) // CASES_EACH)
    return Attribute(name=name, values=categories) if 1 < len(categories) <= most else None


def _names_cases(numbers: NDArray[np.float64]) -> bool:
    """Say whether numbers tell who a case is: record numbers, all different, or days of birth."""
    if (numbers < RECORD_NUMBERS).any() or (numbers != np.rint(numbers)).any():
        return False
    return len(np.unique(numbers)) == len(numbers) or all(DATE.fullmatch(f"{n:.0f}") for n in numbers)


def label_weights(prints: Sequence[Fingerprint], labels: Sequence[int], largest: float) -> tuple[float, ...]:
    """Return the weight of background and each label: sqrt(median frequency / its own), 1 to `largest`.

    A small lesion counts for little in a mean over voxels, though it is what the scan is made for.
    """
    voxels = float(sum(np.prod(p.shape) for p in prints))
    counts = np.array([sum(p.label_voxels.get(label, 0) for p in prints) for label in labels], float)
    shares = np.maximum(np.array([voxels - counts.sum(), *counts]) / voxels, 1e-9)
    return tuple(float(w) for w in np.clip(np.sqrt(np.median(shares) / shares), 1.0, largest))


def _scale(
    case: Case, card: Card, plan: Plan, found: Fingerprint | None
) -> tuple[Scale, tuple[float, float, bool]]:
    """Return mean and std that `normalise` takes away, and (lowest, highest, whole numbers) of the file.

    As in preprocessing, they are of the image on the network's grid; of CT they are those of the plan, beyond
    whose percentiles nothing is known. found: whose intensities say whether a CT holds whole numbers.
    """
    if plan.normalisation == "ct":
        known = plan.statistics
        whole = found is None or all(value.is_integer() for row in found.samples for value in row)
        span = (min(k.percentile_00_5 for k in known), max(k.percentile_99_5 for k in known), whole)
        return Scale(mean=tuple(k.mean for k in known), std=tuple(max(k.std, FLAT_STD) for k in known)), span
    source = case.images[0] if len(case.images) == 1 else case.images
    volume = read_image(source, channels=card.channels, pixel_mm=card.pixel_mm)
    image = volume.array
    shape = network_shape(volume.shape, volume.spacing_mm, plan)
    means, stds = [], []
    for channel in resample_image(image, shape, volume.spacing_mm):
        low, high = np.percentile(channel, (0.5, 99.5))
        inside = np.clip(channel, low, high) if high > low else channel
        means.append(float(inside.mean(dtype=np.float64)))
        stds.append(max(float(inside.std(dtype=np.float64)), FLAT_STD))
    whole = bool((image == np.rint(image)).all())
    return Scale(mean=tuple(means), std=tuple(stds)), (float(image.min()), float(image.max()), whole)


def restored(image: NDArray[np.float32], scale: Scale, learnt: Learnt) -> NDArray[np.float32]:
    """Return normalised intensities (C, X, Y[, Z]) in the unit of the files, within what occurred there."""
    shape = (-1, *(1,) * (image.ndim - 1))
    out = image * np.reshape(scale.std, shape) + np.reshape(scale.mean, shape)
    out = np.clip(out, learnt.lowest, learnt.highest)
    return np.asarray(np.rint(out) if learnt.whole_numbers else out, np.float32)
