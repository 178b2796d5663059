"""Images with or without masks: by a card, in a layout that is recognised, or two folders paired by name."""

from __future__ import annotations

from pathlib import Path

from medunet.config.card import Card, MaskRule
from medunet.data.cases import Case, find_cases
from medunet.data.detect import Detected, detect
from medunet.data.doctor import Subject
from medunet.errors import DataError
from medunet.io.find import Source, find_images, stem_of
from medunet.review.intake.arrival import (
    PLAIN_RULE,
    Arrival,
    Arrivals,
    Ask,
    Channel,
    channel_of,
    one_per_file,
)


def arrivals(place: Path, ask: Ask) -> Arrivals:
    """Return the cases of a folder or file; with `ask.images`, `place` holds the masks of those images."""
    if ask.images is not None:
        return _two_folders(ask.images, place, ask)
    if ask.card is not None and place.is_dir():
        return _by_card(place, ask.card, ask.model)
    if place.is_file():
        return _images_only(place, ask)
    return _recognised(detect(place), ask)


def rule_of(card: Card | None) -> MaskRule:
    """Return how masks of a card's own data are read."""
    return PLAIN_RULE if card is None else card.mask


def _by_card(root: Path, card: Card, model: str | None) -> Arrivals:
    found = find_cases(card, root, labelled=False)
    cases = [_of_case(case, card, model) for case in (*found.cases, *found.unlabelled)]
    without = {str(case.images[0]) for case in found.unlabelled}  # a case without a mask is still a case
    problems = dict(text.partition(": ")[::2] for text in found.problems)
    return Arrivals(tuple(cases), {path: why for path, why in problems.items() if path not in without})


def _of_case(case: Case, card: Card, model: str | None) -> Arrival:
    return Arrival(
        case.id,
        "folder",
        one_per_file(case.images),
        case.mask,
        card,
        rule_of(card),
        patient=case.patient,
        model=model,
    )


def _recognised(found: Detected, ask: Ask) -> Arrivals:
    """Return what a layout without a card holds; names of labels come from its dataset.json, if at all."""
    facts = {"label_names": {str(v): n for v, n in (found.rules.labels or {}).items()}}
    cases = tuple(_of_subject(subject, ask, facts) for subject in found.subjects)
    refused = {str(skipped.path): skipped.reason for skipped in found.skipped}
    return Arrivals(cases, refused)


def _of_subject(subject: Subject, ask: Ask, facts: dict[str, dict[str, str]]) -> Arrival:
    image = subject.image
    if isinstance(image, Source):
        channels: tuple[Channel, ...] = (of_source(image),)
    else:
        channels = one_per_file([image] if isinstance(image, Path) else image)
    mask = subject.mask
    return Arrival(
        subject.id, "folder", channels, mask, ask.card, rule_of(ask.card), model=ask.model, facts=facts
    )


def _images_only(place: Path, ask: Ask) -> Arrivals:
    sources, skipped = find_images([place])
    cases = tuple(
        Arrival(source.name, "folder", (of_source(source),), card=ask.card, model=ask.model)
        for source in sources
    )
    return Arrivals(cases, {str(left.path): left.reason for left in skipped})


def _two_folders(images: Path, masks: Path, ask: Ask) -> Arrivals:
    """Pair two folders: a mask is called as its image, or goes on with a sign (a.png, a_mask.png)."""
    sources, skipped = find_images([images])
    drawn, odd = find_images([masks])
    refused = {str(left.path): left.reason for left in (*skipped, *odd)}
    mine, pairs = {source.name: source for source in sources}, dict[str, Path]()
    for mask in drawn:
        stem = stem_of(Path(mask.name))
        fits = [name for name in mine if stem == name or _goes_on(stem, name)]
        if not fits:
            refused[str(mask.path)] = f"mask without image; expected an image called {stem} in {images}"
        elif (image := max(fits, key=len)) in pairs:
            refused[str(mask.path)] = f"a second mask of {image}; the first is {pairs[image]}. Take one out"
        else:
            pairs[image] = mask.path if not mask.slices else mask.files[0]
    if not pairs:
        raise DataError(
            f"{masks}: no mask fits an image of {images} by name; expected pairs such as a.nii.gz and "
            "a.nii.gz, or a.png and a_mask.png. Rename them, or describe the data by a --card"
        )
    cases = [
        Arrival(
            source.name,
            "folder",
            (of_source(source),),
            pairs.get(name),
            ask.card,
            rule_of(ask.card),
            model=ask.model,
        )
        for name, source in mine.items()
    ]
    return Arrivals(tuple(cases), refused)


def _goes_on(stem: str, name: str) -> bool:
    return stem.startswith(name) and not stem[len(name)].isalnum()


def of_source(source: Source) -> Channel:
    """Return what must be kept to find an image again."""
    return channel_of(source.files if source.slices else (source.path,), source.part)
