"""What a check of a data set can find: the kinds, what was expected and what to do about each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "note"]
Status = Literal["ok", "warn", "reject", "skip"]

WORST: tuple[Status, ...] = ("ok", "skip", "warn", "reject")
STATUS_OF: dict[Severity, Status] = {"error": "reject", "warning": "warn", "note": "ok"}


class Kind(NamedTuple):
    """One thing that can be wrong."""

    severity: Severity
    expected: str
    remedy: str


KINDS: dict[str, Kind] = {
    "unreadable": Kind(
        "error", "a whole image in a format that is read", "fetch or export it again, or leave the case out"
    ),
    "mask": Kind(
        "error", "a mask of whole numbers that the card names", "correct the mask, or the card's labels"
    ),
    "memory": Kind(
        "error", "an image that fits into the memory", "use a machine with more memory, or cut the image"
    ),
    "sheared": Kind(
        "error", "axes at right angles", "resample to a right-angled grid (--fix writes such a copy)"
    ),
    "grid": Kind("error", "image and mask on one grid", "export the mask again on the grid of its image"),
    "mirrored": Kind(
        "error", "a mask with the axes of its image", "find out which header is right: left and right differ"
    ),
    "swapped": Kind("error", "grey values in the image, labels in the mask", "exchange the two files"),
    "reference": Kind(
        "error", "a DICOM object that is whole, beside what it refers to", "export it again, with its series"
    ),
    "config": Kind("error", "a recipe, a card or a list of cases that can be used", "correct the file"),
    "partner": Kind(
        "warning", "an image and a mask for every case", "add the file, or take the other one out"
    ),
    "odd": Kind("warning", "nothing unusual", "look at the image before it is used"),
    "nan": Kind(
        "warning", "finite numbers", "read as the lowest finite value; --fix writes that into a copy"
    ),
    "constant": Kind("warning", "an image with contrast", "leave the case out"),
    "name": Kind("warning", "a name that fits the content", "rename the file (--fix writes a renamed copy)"),
    "skewed": Kind("warning", "axes at right angles", "--fix writes a copy with a right-angled header"),
    "axes": Kind(
        "warning", "a mask stored in the axis order of its image", "look at the overlay: it may be mirrored"
    ),
    "rounding": Kind(
        "note", "the very header of the image", "--fix writes a copy of the mask with the image's header"
    ),
    "float-mask": Kind("note", "labels stored as integers", "--fix writes a copy with integers"),
    "empty": Kind(
        "warning", "a mask with a labelled voxel", "leave the case out, if the structure should be there"
    ),
    "gap": Kind(
        "warning",
        "labels 1, 2, 3 ... without a gap",
        "name the labels in a card: medunet reads gaps as they are",
    ),
    "absent": Kind(
        "warning", "every label of the card in some mask", "check the card's labels against the masks"
    ),
    "duplicate": Kind(
        "warning", "every image once", "keep one copy: a double in training and test flatters the score"
    ),
    "synthetic": Kind(
        "warning",
        "scans of patients",
        "keep it apart: a synthetic set has its own folder and card, and is never validated on",
    ),
    "outlier": Kind(
        "warning", "cases that resemble each other", "look at the case: another unit, crop or kind of scan"
    ),
    "mixed": Kind("note", "cases of one kind", "nothing, if the set is meant to be mixed"),
    "intensity": Kind(
        "note", "intensities that resemble each other", "look at the case, if one unit is meant"
    ),
    "slice": Kind("note", "a series of slices", "nothing, if single slices are meant"),
    "no-image": Kind("note", "an image", "nothing, if it is not meant to be one"),
}


@dataclass(frozen=True)
class Finding:
    """One finding about one file (or the whole set)."""

    path: Path
    kind: str
    severity: Severity
    found: str
    expected: str
    remedy: str

    @classmethod
    def of(cls, kind: str, path: Path, found: str, *, expected: str | None = None) -> Finding:
        """Return a finding with the words of its kind; a path that leads the text is taken off it."""
        usual = KINDS[kind]
        text = found.removeprefix(f"{path}: ").strip()
        return cls(path, kind, usual.severity, text, expected or usual.expected, usual.remedy)


def worst(statuses: list[Status]) -> Status:
    """Return the worst of some statuses; `skip` only where nothing else was looked at.

    >>> worst(["ok", "skip"]), worst(["skip"]), worst(["ok", "warn"])
    ('ok', 'skip', 'warn')
    """
    looked_at = [status for status in statuses if status != "skip"]
    if not looked_at:
        return "skip" if statuses else "ok"
    return max(looked_at, key=WORST.index)
