"""Recognise the layout of a data folder that has no card."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medunet.config.card import Card, Files, Label
from medunet.data.cases import Found, find_cases
from medunet.data.datalist import missing_files
from medunet.data.doctor import Rules, Subject
from medunet.data.findings import Finding
from medunet.errors import ConfigError
from medunet.io.find import ENDINGS, Skipped, find_images, stem_of

IMAGE_FOLDERS = ("images", "imagesTr", "image", "imgs", "img", "scans")
MASK_FOLDERS = ("masks", "labels", "labelsTr", "mask", "label", "segmentations", "annotations")
MASK_NAMES = ("label", "mask", "seg", "segmentation", "labels")


@dataclass(frozen=True)
class Detected:
    """What a folder seems to be."""

    layout: str
    subjects: tuple[Subject, ...]
    rules: Rules = field(default_factory=Rules)
    findings: tuple[Finding, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def detect(root: Path) -> Detected:
    """Return the cases of a folder in the first layout that fits; loose images where none does."""
    if (root / "dataset.json").is_file() and (root / "imagesTr").is_dir():
        return _decathlon(root)
    if (root / "dataset_description.json").is_file() and (root / "derivatives").is_dir():
        derived = _images_below(root / "derivatives")
        raw = [path for path in _images_below(root) if path not in set(derived)]
        return _paired("BIDS", raw, derived)
    for images in IMAGE_FOLDERS:
        for masks in MASK_FOLDERS:
            if (root / images).is_dir() and (root / masks).is_dir():
                return _paired(
                    f"{images}/ and {masks}/", _images_below(root / images), _images_below(root / masks)
                )
    return pair_in(root) or _loose(root)


def pair_in(root: Path) -> Detected | None:
    """Return the one pair image.* and label.* (or mask.*, seg.*) of a folder, if it is one."""
    files = [path for path in _images_below(root) if path.parent == root]
    image = [path for path in files if stem_of(path).lower() == "image"]
    mask = [path for path in files if stem_of(path).lower() in MASK_NAMES]
    if len(image) == 1 and len(mask) == 1:
        return Detected("one pair", (Subject(root.name, image[0], image[0], mask[0]),))
    return None


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; ConfigError says where it is wrong."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not JSON: {error}. Correct the file, or fetch it again.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None


def _decathlon(root: Path) -> Detected:
    """Return the cases of an MSD or nnU-Net folder, with the labels of its dataset.json."""
    place = root / "dataset.json"
    try:
        said = read_json(place)
    except ConfigError as error:
        said, told = {}, [Finding.of("config", place, str(error))]
    else:
        told = [Finding.of("partner", place, text) for text in missing_files(said, root)]
    said = said if isinstance(said, dict) else {}
    images = _images_below(root / "imagesTr")
    named = said.get("channel_names") or said.get("modality")
    channels = len(named) if isinstance(named, dict | list) and named else 1
    numbered = bool(images) and all(re.search(r"_\d{4}$", stem_of(path)) for path in images)
    nnunet = "channel_names" in said or (numbered and "file_ending" in said)
    pattern = "imagesTr/{case}_{channel}.*" if nnunet else "imagesTr/{case}.*"
    found = _find(root, Files(image=pattern, mask="labelsTr/{case}.*"), channels)
    rules = Rules(channels=None, labels=labels_of(said))
    subjects = tuple(Subject.of(case) for case in (*found.cases, *found.unlabelled))
    told += [problem(text) for text in found.problems]
    return Detected("nnU-Net" if nnunet else "MSD", subjects, rules, tuple(told))


def labels_of(said: dict[str, Any]) -> dict[int, str] | None:
    """Return the labels of a dataset.json, in MSD's way {"1": name} or nnU-Net's {name: 1}.

    >>> labels_of({"labels": {"0": "background", "1": "spleen"}})
    {1: 'spleen'}
    >>> labels_of({"labels": {"background": 0, "a": 1, "b": [1, 2]}})
    {1: 'a', 2: 'b'}
    """
    entries = said.get("labels")
    if not isinstance(entries, dict):
        return None
    out: dict[int, str] = {}
    for key, value in entries.items():
        if str(key).isdecimal():
            out[int(key)] = str(value)
        else:
            numbers = value if isinstance(value, list) else [value]
            out |= {int(n): str(key) for n in numbers if isinstance(n, int) and int(n) not in out}
    return {value: name for value, name in sorted(out.items()) if value > 0} or None


def _find(root: Path, files: Files, channels: int) -> Found:
    card = Card(
        name="detected",
        title="",
        source="",
        licence="",
        modality="MR",
        dims=3,
        layout="folders",
        files=files,
        channels=max(1, min(channels, 16)),
        labels={1: Label(name="label")},
    )
    return find_cases(card, root, labelled=False)


def problem(text: str) -> Finding:
    """Return what `find_cases` said about a file as a finding."""
    path, _, rest = text.partition(": ")
    return Finding.of("partner", Path(path), rest)


def _images_below(folder: Path) -> list[Path]:
    """Return files with an image ending, sorted; hidden ones are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.name.lower().endswith(ENDINGS)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def _paired(layout: str, images: Sequence[Path], masks: Sequence[Path]) -> Detected:
    """Pair by name: the mask's name is the image's, or begins with it (`a.png`, `a_mask.png`)."""
    by_stem = {stem_of(path): path for path in images}
    subjects, findings = [], []
    for mask in masks:
        name = stem_of(mask)
        starts = [s for s in by_stem if name == s or re.match(re.escape(s) + r"[^A-Za-z0-9]", name)]
        if starts:
            image = by_stem[max(starts, key=len)]
            subjects.append(Subject(stem_of(image), image, image, mask))
        else:
            findings.append(
                Finding.of("partner", mask, "mask without image", expected=f"an image named {name}")
            )
    used = {subject.path for subject in subjects}
    for image in images:
        if image not in used:
            text = "image without mask" if by_stem[stem_of(image)] == image else "two images of one name"
            findings.append(Finding.of("partner", image, text, expected=f"a mask named {stem_of(image)}"))
            subjects.append(Subject(stem_of(image), image, image))
    return Detected(layout, tuple(subjects), findings=tuple(findings))


def _loose(root: Path) -> Detected:
    sources, skipped = find_images([root])
    subjects = tuple(Subject(source.name, source, source.path) for source in sources)
    return Detected("loose images", subjects, skipped=tuple(skipped))
