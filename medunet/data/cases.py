"""Find the cases of a data set by its card's patterns: which image belongs to which mask and patient."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from medunet.config.card import Card
from medunet.data.patterns import Key, compile_pattern, fill, walk
from medunet.errors import DataError

SHOWN = 5  # entries of a long list that a message names


@dataclass(frozen=True)
class Case:
    """One case: files only, nothing is read."""

    id: str
    patient: str
    images: tuple[Path, ...]  # one per channel file; a folder is a DICOM series
    mask: Path | None
    fov: Path | None


@dataclass(frozen=True)
class Found:
    """What lies in a data folder."""

    cases: tuple[Case, ...]  # image and mask present, sorted by id
    problems: tuple[str, ...] = ()  # files that do not make a case, each with found, expected, remedy
    unlabelled: tuple[Case, ...] = ()  # images whose mask is missing or not asked for


class Measured(Protocol):
    """What a header says about an image (RAS axis order)."""

    @property
    def shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def spacing_mm(self) -> tuple[float, ...]: ...  # noqa: D102


@dataclass
class _Roles:
    """Files by role and key; images also by channel ("" where the pattern has none)."""

    image: dict[Key, dict[str, list[Path]]] = field(default_factory=dict)
    mask: dict[Key, list[Path]] = field(default_factory=dict)
    fov: dict[Key, list[Path]] = field(default_factory=dict)


def find_cases(card: Card, root: Path, *, labelled: bool = True) -> Found:
    """Return the cases below `root`; DataError if there is none (with a mask, unless `labelled` is False)."""
    if not root.is_dir():
        kind = "a file, not a folder" if root.exists() else "no such folder"
        raise DataError(f"{root}: {kind}; expected {_looked_for(card)}. Give the data folder of {card.name}.")
    found = _pair(card, root, _sort_by_role(card, root))
    if not found.cases and (labelled or not (found.unlabelled or found.problems)):
        raise DataError(_nothing(card, root, found))
    return found


def check_expectations(card: Card, found: Found, headers: Mapping[str, Measured] | None = None) -> None:
    """Raise one DataError with every number that differs from the card's `expect:` block.

    headers: case id -> header of its image; without them only the number of cases is checked.
    """
    wrong = _wrong_counts(card, found)
    for kind in ("spacing", "shape"):
        for case, header in sorted((headers or {}).items()):
            values = header.spacing_mm if kind == "spacing" else header.shape
            low, high = getattr(card.expect, f"{kind}_min"), getattr(card.expect, f"{kind}_max")
            wrong += [f"{case}: {kind} {_outside(values, low, high)}"] * bool(_outside(values, low, high))
    if wrong:
        more = f"\n  ... and {len(wrong) - 20} more" if len(wrong) > 20 else ""
        raise DataError(
            f"card {card.name}: the data is not what `expect:` says\n  "
            + "\n  ".join(wrong[:20])
            + more
            + "\n"
            f"Check that this is the whole data set ({card.source}), or correct `expect:` in the card."
        )


def _wrong_counts(card: Card, found: Found) -> list[str]:
    exact, least, have = card.expect.cases, card.expect.cases_at_least, len(found.cases)
    wrong = []
    if exact is not None and have != exact:
        wrong.append(f"cases: found {have}, expected {exact}")
    if least is not None and have < least:
        wrong.append(f"cases: found {have}, expected at least {least}")
    if wrong and found.problems:
        wrong.append(f"files that make no case: {len(found.problems)}, the first: {found.problems[0]}")
    return wrong


def _outside(values: Sequence[float], low: Sequence[float] | None, high: Sequence[float] | None) -> str:
    """Return in words how values leave the range, or an empty string; 0.1 % is rounding of headers."""
    if any(limit is not None and len(limit) != len(values) for limit in (low, high)):
        return f"has {len(values)} axes {_round(values)}, `expect:` names another number of axes"
    below = low is not None and any(v < limit * 0.999 for v, limit in zip(values, low, strict=True))
    above = high is not None and any(v > limit * 1.001 for v, limit in zip(values, high, strict=True))
    if not (below or above):
        return ""
    between = " to ".join("any" if limit is None else str(_round(limit)) for limit in (low, high))
    return f"{_round(values)}, expected {between}"


def _round(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(v, 4) for v in values)


def _sort_by_role(card: Card, root: Path) -> _Roles:
    """Give every file to the role whose pattern fits it with the most literal text."""
    places = card.places
    patterns = {"image": places.image, "mask": places.mask, "fov": places.fov}
    used = {role: (p, compile_pattern(p)) for role, p in patterns.items() if p is not None}
    order = sorted(used, key=lambda role: -len(re.sub(r"\{\w+\}", "", used[role][0])))
    depth = max(p.rstrip("/").count("/") for p, _ in used.values())
    roles = _Roles()
    for name, is_folder in walk(root, depth):
        for role in order:
            pattern, expression = used[role]
            match = expression.fullmatch(name) if is_folder == pattern.endswith("/") else None
            if match:
                _put(roles, role, match, root / name)
                break
    return roles


def _put(roles: _Roles, role: str, match: re.Match[str], path: Path) -> None:
    groups = match.groupdict()
    key = (groups.get("patient") or "", groups["case"])
    if role == "image":
        roles.image.setdefault(key, {}).setdefault(groups.get("channel") or "", []).append(path)
    else:
        getattr(roles, role).setdefault(key, []).append(path)


def _pair(card: Card, root: Path, roles: _Roles) -> Found:
    places = card.places
    cases: list[Case] = []
    unlabelled: list[Case] = []
    problems: list[str] = []
    channels = {channel for found in roles.image.values() for channel in found}
    for key, images in sorted(roles.image.items()):
        wrong = _wrong_files(card, root, roles, key, channels)
        problems += wrong
        if wrong:
            continue
        masks, fovs = [_only_file(path) for path in roles.mask.get(key, [])], roles.fov.get(key, [])
        files = tuple(images[channel][0] for channel in sorted(images))
        case = _case(card, key, files, masks[0] if masks else None, fovs[0] if fovs else None)
        if case.mask is None and places.mask is not None:
            expected = root / fill(places.mask, key)
            problems.append(
                f"{files[0]}: image without mask; expected {expected}. Add the mask or take it out."
            )
        (cases if case.mask else unlabelled).append(case)
    for key in sorted(set(roles.mask) - set(roles.image)):
        expected = root / fill(places.image, key)
        problems.append(f"{roles.mask[key][0]}: mask without image; expected {expected}. Add the image.")
    _check_unique([*cases, *unlabelled])
    by_id = sorted(cases, key=lambda case: case.id), sorted(unlabelled, key=lambda case: case.id)
    return Found(tuple(by_id[0]), tuple(problems), tuple(by_id[1]))


def _wrong_files(card: Card, root: Path, roles: _Roles, key: Key, channels: set[str]) -> list[str]:
    images, places = roles.image[key], card.places
    first = next(iter(images.values()))[0]
    wrong = []
    for files in (*images.values(), roles.mask.get(key, []), roles.fov.get(key, [])):
        if len(files) > 1:
            names = ", ".join(path.name for path in files)
            wrong.append(
                f"{files[0]}: {len(files)} files for one case ({names}); expected one. Take the others out."
            )
    if missing := channels - set(images):
        wrong.append(
            f"{first}: channels {sorted(missing)} are missing; other cases have them. Add the files."
        )
    if len(images) not in (1, card.channels):
        wrong.append(f"{first}: {len(images)} channel files; the card says `channels: {card.channels}`.")
    if first.is_dir() and not _visible_files(first):
        wrong.append(f"{first}: empty folder; expected the files of one DICOM series.")
    wrong += [
        f"{mask}: {count} files; expected one mask as DICOM SEG or RTSTRUCT. Take the others out."
        for mask in roles.mask.get(key, [])
        if mask.is_dir() and (count := len(_visible_files(mask))) != 1
    ]
    if places.fov is not None and key not in roles.fov:
        wrong.append(f"{first}: no field of view; expected {root / fill(places.fov, key)}. Add it.")
    return wrong


def _visible_files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]


def _only_file(mask: Path) -> Path:
    """Return the file of a mask that has a folder of its own; `_wrong_files` has counted them."""
    return _visible_files(mask)[0] if mask.is_dir() else mask


def _case(card: Card, key: Key, images: tuple[Path, ...], mask: Path | None, fov: Path | None) -> Case:
    folder_patient, name = key
    named = not folder_patient or re.search(
        rf"(?<![A-Za-z0-9]){re.escape(folder_patient)}(?![A-Za-z0-9])", name
    )
    case_id = name if named else f"{folder_patient}_{name}"
    if folder_patient and card.patient == type(card).model_fields["patient"].default:
        return Case(case_id, folder_patient, images, mask, fov)
    match = re.search(card.patient, case_id)
    if match is None:
        raise DataError(
            f"{images[0]}: case {case_id} does not fit `patient: {card.patient}` of card {card.name}. "
            "Correct the expression; its first group must be the patient."
        )
    return Case(case_id, match[1] or case_id, images, mask, fov)


def _check_unique(cases: Sequence[Case]) -> None:
    seen: dict[str, Case] = {}
    for case in cases:
        if case.id in seen:
            raise DataError(
                f"{case.images[0]}: case {case.id} is also {seen[case.id].images[0]}; expected unique "
                "case names. Rename one, or make `files:` in the card tell them apart."
            )
        seen[case.id] = case


def _looked_for(card: Card) -> str:
    places = card.places
    return " and ".join(p for p in (places.image, places.mask) if p is not None)


def _nothing(card: Card, root: Path, found: Found) -> str:
    shown = [p.name + "/" * p.is_dir() for p in sorted(root.iterdir()) if not p.name.startswith(".")]
    there = ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")
    first = card.places.image.split("/", maxsplit=1)[0]
    inner = [p for p in sorted(root.iterdir()) if p.is_dir() and "{" not in first and (p / first).exists()]
    remedy = (
        f"Did you mean {inner[0]}?"
        if inner
        else "Give the folder that holds these, or set `files:` in the card."
    )
    problem = (
        f" {len(found.problems)} files fit only in part, the first: {found.problems[0]}"
        if found.problems
        else ""
    )
    return f"{root}: no case; looked for {_looked_for(card)}, found {there or 'nothing'}.{problem} {remedy}"
