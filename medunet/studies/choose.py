"""Which series of a study a model is for: by rule, with a reason for every series that is not taken.

A series is left out if it cannot be read, is of another modality, has other dimensions, is a localizer, names
another body part, plane or contrast than the card's `series:` rule, or has voxels that leave the training
range by more than a factor of three along an axis (a card's own spacing limits are taken as they are). Among
those left, the one wins whose description fits the rule's hint; then original images before reformatted ones;
then voxels, then field of view, closest to the training range; then more voxels; then the lower number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from medunet.config.card import Card, SeriesRule
from medunet.config.ranges import Span
from medunet.errors import StudyError
from medunet.io.facts import Facts
from medunet.studies.task import Image
from medunet.studies.training import Training

CODES = {  # of DICOM, PS3.3 C.7.3.1.1.1; fundus and microscopy are in colour, which is read from files only
    "CT": ("CT",), "MR": ("MR",), "PET": ("PT",), "US": ("US", "IVUS"), "XR": ("CR", "DX", "MG", "XA", "RF"),
}  # fmt: skip
LOCALIZERS = {"LOCALIZER", "SCOUT", "TOPOGRAM"}
FAR = 3.0  # times the training range: as much as between thick and thin slices
ROUNDING = 1.01


@dataclass(frozen=True)
class Candidate:
    """An image of a study: what it says about itself, or why it cannot be read."""

    image: Image
    facts: Facts | None = None
    problem: str = ""


@dataclass(frozen=True)
class Choice:
    """The images to read, one per channel, and why the others are not: id -> reason."""

    images: tuple[Image, ...]
    left: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def choose(candidates: Sequence[Candidate], card: Card, training: Training) -> Choice:
    """Return the series that the model was trained for; StudyError with all reasons if there is none."""
    if not any(candidate.image.dicom for candidate in candidates):
        return _as_given(candidates, card)
    rules = card.series or (SeriesRule(),)
    if len(rules) != card.channels:
        raise StudyError(
            f"the model reads {card.channels} channels; which series each is read from is not known. "
            "Give `series:` in the card, one rule per channel."
        )
    taken: list[Candidate] = []
    left: dict[str, str] = {}
    remarks: list[str] = []
    for number, rule in enumerate(rules):
        free = [c for c in candidates if c not in taken]
        best = _best(free, rule, card, training, left, remarks)
        if best is None:
            which = f" for channel {number + 1} ({rule.description})" if len(rules) > 1 else ""
            said = "; ".join(f"series {c.image.id}: {left[c.image.id]}" for c in free)
            raise StudyError(f"none of {len(candidates)} series fits the model{which}: {said}")
        taken.append(best)
    ids = {candidate.image.id for candidate in taken}
    others = {name: reason for name, reason in left.items() if name not in ids}
    return Choice(tuple(c.image for c in taken), others, tuple(remarks))


def _as_given(candidates: Sequence[Candidate], card: Card) -> Choice:
    """Return plain files as they are: who names a file has chosen it."""
    if problems := [candidate.problem for candidate in candidates if candidate.problem]:
        raise StudyError("; ".join(problems))
    facts = candidates[0].facts
    if facts is not None and len(facts.shape) != card.dims:
        raise StudyError(f"the image has {len(facts.shape)} axes; the model was trained in {card.dims}D")
    return Choice(tuple(candidate.image for candidate in candidates))


def _best(
    free: Sequence[Candidate],
    rule: SeriesRule,
    card: Card,
    training: Training,
    left: dict[str, str],
    remarks: list[str],
) -> Candidate | None:
    fitting: list[tuple[tuple[float, ...], Candidate]] = []
    for candidate in free:
        facts = candidate.facts
        if facts is None:
            left[candidate.image.id] = candidate.problem
        elif reason := _why_not(facts, rule, card, training):
            left[candidate.image.id] = f"{_about(facts)}: {reason}"
        else:
            fitting.append((_rank(facts, rule, training), candidate))
    fitting.sort(key=lambda pair: (*pair[0], pair[1].image.id))
    for rank, candidate in fitting[1:]:
        about = "" if candidate.facts is None else f"{_about(candidate.facts)}: "
        left[candidate.image.id] = about + _why_second(fitting[0][0], rank)
    if len(fitting) > 1 and fitting[0][0][:-1] == fitting[1][0][:-1]:
        remarks.append(f"{len(fitting)} series fit the model; of equals, the first was taken")
    return fitting[0][1] if fitting else None


def _about(facts: Facts) -> str:
    """Return how a person knows a series again, without what may name a patient."""
    shape = "x".join(map(str, facts.shape))
    return " ".join(word for word in (facts.modality, facts.plane, shape, f"no. {facts.number}") if word)


def _why_not(facts: Facts, rule: SeriesRule, card: Card, training: Training) -> str:
    """Return why a series is not for the model, or an empty text."""
    if len(facts.shape) != card.dims:
        return f"{len(facts.shape)} axes; the model was trained in {card.dims}D"
    if facts.modality and facts.modality not in CODES.get(card.modality, ()):
        return f"modality {facts.modality}; the model was trained on {card.modality}"
    if LOCALIZERS & set(facts.image_type):
        return "a localizer, not a scan"
    if rule.body_part and facts.body_part and facts.body_part not in rule.body_part:
        return f"body part {facts.body_part}; the card says {' or '.join(rule.body_part)}"
    if rule.plane and facts.plane and facts.plane != rule.plane:
        return f"{facts.plane} slices; the card says {rule.plane}"
    if rule.contrast is not None and facts.contrast not in (None, rule.contrast):
        return f"{'with' if facts.contrast else 'without'} contrast agent; the card says otherwise"
    return _far(facts.spacing_mm, *_limits(rule, training))


def _limits(rule: SeriesRule, training: Training) -> tuple[Sequence[Span], float]:
    """Return the spacing limits per axis and how far beyond them is still taken."""
    if rule.spacing_min is None and rule.spacing_max is None:
        return training.spacing_mm, FAR
    dims = len(training.spacing_mm)
    low, high = rule.spacing_min or (0.0,) * dims, rule.spacing_max or (math.inf,) * dims
    return tuple(zip(low, high, strict=True)), ROUNDING


def _far(spacing_mm: Sequence[float], limits: Sequence[Span], factor: float) -> str:
    for axis, edge, (low, high) in zip("XYZ", spacing_mm, limits, strict=False):
        if not low / factor <= edge <= high * factor:
            return f"voxels of {edge:.4g} mm along {axis}; the model is for {low:.4g} to {high:.4g} mm" + (
                f", at most {factor:g} times beyond" if factor == FAR else ""
            )
    return ""


def _rank(facts: Facts, rule: SeriesRule, training: Training) -> tuple[float, ...]:
    """Return what is compared, best first; lower is better."""
    hinted = rule.description and re.search(rule.description, facts.description, re.IGNORECASE)
    extent = [n * edge for n, edge in zip(facts.shape, facts.spacing_mm, strict=True)]
    return (
        0.0 if hinted or not rule.description else 1.0,
        1.0 if "SECONDARY" in facts.image_type else 0.0,
        round(outside(facts.spacing_mm, training.spacing_mm), 3),
        round(outside(extent, training.extent_mm), 2),
        -float(math.prod(facts.shape)),
        float(facts.number),
    )


def _why_second(best: tuple[float, ...], rank: tuple[float, ...]) -> str:
    """Return in what a series that fits is behind the one that was taken."""
    reasons = (
        "its description fits the card's hint less",
        "a reformatted image; an original one fits too",
        "its voxels are farther from those of the training data",
        "its field of view is farther from that of the training data",
        "it has fewer voxels",
    )
    for reason, first, second in zip(reasons, best, rank, strict=False):
        if first != second:
            return f"fits, but {reason}"
    return "fits equally; the one with the lower number was taken"


def outside(values: Sequence[float], spans: Sequence[Span]) -> float:
    """Return by what factor the value that is farthest outside leaves its span, as a logarithm; else 0.0.

    >>> outside([1.0, 4.0], [(1.0, 2.0), (1.0, 2.0)])
    0.6931471805599453
    """
    pairs = zip(values, spans, strict=False)
    return max((math.log(max(1.0, value / high, low / value)) for value, (low, high) in pairs), default=0.0)
