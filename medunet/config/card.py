"""A data set card: what a data set is, where its files lie and what its labels mean, in one YAML file."""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from medunet.config.base import Record

Modality = Literal["CT", "MR", "PET", "US", "XR", "fundus", "microscopy", "EM"]
Layout = Literal["msd", "nnunet", "bids", "folders", "dicom"]

SYNTHETIC_CARD = "_synthetic"  # ends the name of a synthetic set's card
LARGEST_LABEL = 254  # masks are kept as uint8
IGNORED = 255  # in a preprocessed mask: a voxel that nothing is learnt from


def plain(name: str) -> str:
    """Return what counts of the name of a drawn region.

    >>> plain("Kidney_LEFT"), plain("kidney left")
    ('kidneyleft', 'kidneyleft')
    """
    return "".join(letter for letter in name.casefold() if letter.isalnum())


class Label(Record):
    """One structure of a mask."""

    name: str = Field(pattern=r"^[A-Za-z0-9_ ,()/-]+$")
    aliases: tuple[str, ...] = ()  # other names under which DICOM SEG and RTSTRUCT draw it
    snomed: str | None = Field(None, pattern=r"^\d{6,18}$")  # SNOMED CT concept id, DICOM PS3.16
    mirror: str | None = (
        None  # name of the partner on the other side, swapped when left and right are flipped
    )

    @property
    def drawn_names(self) -> set[str]:
        """The `plain` names under which it is drawn."""
        return {plain(name) for name in (self.name, *self.aliases)}


class Files(Record):
    """Where the files of a case lie, below the data folder, with `/` between folders.

    Placeholders: `{case}` and `{patient}` match within one folder or file name, `{channel}` the four digits
    of nnU-Net's channel files. A pattern that ends in `/` names a folder that holds one DICOM series, or one
    mask as DICOM SEG or RTSTRUCT; one that ends in `.*` a file with any image ending. File endings match in
    upper and lower case.
    """

    image: str
    mask: str | None = None
    fov: str | None = None  # field of view: voxels above 0 are scored, others never

    @field_validator("image", "mask", "fov")
    @classmethod
    def _stays_below(cls, pattern: str | None) -> str | None:
        if pattern is not None and (pattern.startswith(("/", "~")) or ".." in pattern.split("/")):
            raise ValueError("must lie below the data folder: no leading / or ~, no ..")
        if pattern is not None and "{case}" not in pattern:
            raise ValueError("must hold {case}, the part of the name that tells cases apart")
        if unknown := set(re.findall(r"\{(.*?)\}", pattern or "")) - {"case", "patient", "channel"}:
            raise ValueError(
                f"unknown placeholder {sorted(unknown)}; known: {{case}}, {{patient}}, {{channel}}"
            )
        return pattern


PRESETS: dict[str, Files] = {
    "msd": Files(image="imagesTr/{case}.nii.gz", mask="labelsTr/{case}.nii.gz"),
    "nnunet": Files(image="imagesTr/{case}_{channel}.nii.gz", mask="labelsTr/{case}.nii.gz"),
    "folders": Files(image="images/{case}.png", mask="masks/{case}.png"),
    "dicom": Files(image="dicom/{case}/", mask="masks/{case}.nii.gz"),
}


class MaskRule(Record):
    """How stored mask values become labels.

    `exact`: values are labels (after `values`); any other value is an error. `nearest`: every value goes to
    the nearest key of `values` (masks that were saved through a lossy or anti-aliased step). `instances`:
    every object has its own number; all values above 0 become label 1.

    DICOM SEG and RTSTRUCT draw regions with names: these are the labels' names and aliases, unless `values`
    or `instances` ask for their numbers. `others`: what becomes of regions that the card does not name.
    `overlaps`: what becomes of voxels that two labels claim; `higher label` gives them to the higher number.
    """

    rule: Literal["exact", "nearest", "instances"] = "exact"
    values: dict[int, int] = {}  # stored value -> label; empty: stored values are the labels
    others: Literal["refuse", "leave out"] = "refuse"
    overlaps: Literal["refuse", "higher label"] = "refuse"

    @model_validator(mode="after")
    def _nearest_needs_values(self) -> Self:
        if self.rule == "nearest" and not self.values:
            raise ValueError("`rule: nearest` needs `values: {stored: label}`")
        return self


class SeriesRule(Record):
    """Which series of a study a channel is read from. Unset keys follow from the training data.

    Body parts are DICOM's words (PS3.16, CID 4031), such as BRAIN. A series that does not name its body part
    or contrast agent is not left out for it. `description` is a hint: it decides between series that fit.
    """

    body_part: tuple[str, ...] = ()
    plane: Literal["axial", "coronal", "sagittal"] | None = None
    contrast: bool | None = None
    spacing_min: tuple[float, ...] | None = None  # per RAS axis in mm
    spacing_max: tuple[float, ...] | None = None
    description: str | None = None  # regular expression, capitals or not

    @field_validator("description")
    @classmethod
    def _is_an_expression(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern


class Expect(Record):
    """What the data must look like when first read: a wrong download fails with numbers, not after a day."""

    cases: int | None = Field(None, gt=0)
    cases_at_least: int | None = Field(None, gt=0)
    spacing_min: tuple[float, ...] | None = None  # per axis in mm (or the card's unit), after reorientation
    spacing_max: tuple[float, ...] | None = None
    shape_min: tuple[int, ...] | None = None
    shape_max: tuple[int, ...] | None = None


class Card(Record):
    """One data set."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    title: str
    source: str
    licence: str
    modality: Modality
    dims: Literal[2, 3]
    layout: Layout
    files: Files | None = None  # replaces the layout's usual places
    channels: int = Field(1, ge=1, le=16)  # 3 for colour; grey images of such a set are repeated
    labels: dict[int, Label] = Field(min_length=1)
    mask: MaskRule = MaskRule()
    patient: str = "(.+)"  # regular expression on the case id; its first group is the patient
    pixel_mm: float | None = Field(None, gt=0)  # edge of a pixel where the files do not say
    attributes: str | None = (
        None  # a CSV or TSV below the data folder: case or patient, then what is known of it
    )
    tolerance_mm: float = Field(1.0, gt=0)  # surface distance that counts as agreement (NSD)
    expect: Expect = Expect()
    series: tuple[SeriesRule, ...] = ()  # of a study, one per channel; see medunet.studies.choose

    @field_validator("labels")
    @classmethod
    def _labels_are_usable(cls, labels: dict[int, Label]) -> dict[int, Label]:
        if bad := [value for value in labels if not 1 <= value <= LARGEST_LABEL]:
            raise ValueError(f"labels must lie between 1 and {LARGEST_LABEL}; 0 is background; found {bad}")
        names = [label.name for label in labels.values()]
        if len(set(names)) < len(names):
            raise ValueError(f"two labels have the same name: {sorted(names)}")
        drawn = Counter(name for label in labels.values() for name in label.drawn_names)
        if twice := sorted(name for name, count in drawn.items() if count > 1):
            raise ValueError(f"names and aliases of two labels differ in case and signs only: {twice}")
        return dict(sorted(labels.items()))

    @field_validator("patient")
    @classmethod
    def _has_one_group(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if groups < 1:
            raise ValueError('needs a group in brackets that is the patient, such as "^(sub-[a-z0-9]+)"')
        return pattern

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        names = {label.name for label in self.labels.values()}
        for label in self.labels.values():
            if label.mirror is not None and label.mirror not in names:
                raise ValueError(f"labels: {label.name} is mirrored to {label.mirror}, which is not a label")
        if unknown := set(self.mask.values.values()) - set(self.labels) - {0}:
            raise ValueError(f"mask.values leads to labels {sorted(unknown)} that the card does not name")
        if self.series and len(self.series) != self.channels:
            raise ValueError(
                f"series: {len(self.series)} rules for {self.channels} channel(s); give one each"
            )
        if self.files is None and self.layout not in PRESETS:
            raise ValueError(f"layout {self.layout} has no usual places: add `files:` with image and mask")
        return self

    @property
    def places(self) -> Files:
        """Where the files lie: the card's own patterns, else the layout's usual ones."""
        return self.files or PRESETS[self.layout]

    @property
    def label_names(self) -> tuple[str, ...]:
        """The names of the labels in the order of network outputs 1, 2, ..."""
        return tuple(label.name for label in self.labels.values())

    @property
    def drawn_names(self) -> dict[str, int]:
        """The label that a region of a DICOM SEG or RTSTRUCT is, by its `plain` name."""
        return {name: value for value, label in self.labels.items() for name in label.drawn_names}

    @property
    def mirror_pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of network outputs (left, right) that change places when left and right are flipped."""
        index = {label.name: i + 1 for i, label in enumerate(self.labels.values())}
        found = {
            tuple(sorted((index[label.name], index[label.mirror])))
            for label in self.labels.values()
            if label.mirror
        }
        return tuple((first, second) for first, second in sorted(found))
