"""Look at one case: does the image read, does the mask fit it, is anything odd?"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medunet.config.card import SYNTHETIC_CARD, Card, MaskRule
from medunet.data.cases import Case
from medunet.data.findings import Finding
from medunet.errors import DataError
from medunet.geometry import axis_skew
from medunet.io.check import corner_gap_mm, same_grid
from medunet.io.doors import layout_of, source_of, stored_of
from medunet.io.labels import to_labels
from medunet.io.limits import SHEAR_LIMIT
from medunet.io.read import Source, is_drawn, read_image, read_mask
from medunet.io.stored import Layout, Stored
from medunet.io.volume import Array, Grid, Volume

FEW_VALUES, MANY_VALUES = 32, 64  # an image has many grey values, a mask few labels
ROUNDING_VOXELS = 0.01  # between image and mask at a corner; more is told
BYTES_PER_VALUE = 12  # stored, as float32, and one copy
SAMPLE_VOXELS = 200_000  # for percentiles

# Words of the reader's remarks -> the kind they belong to; all other remarks are "odd".
REMARKS = {
    "NaN or infinite": "nan",
    "every voxel is": "constant",
    "rename the file": "name",
    "right angles": "skewed",
    "marked synthetic": "synthetic",
}


@dataclass(frozen=True)
class Rules:
    """What masks may hold and how images are read; from a card, or guessed."""

    channels: int | None = None  # None: as many as the file has
    pixel_mm: float | None = None
    mask: MaskRule = field(default_factory=MaskRule)
    labels: Mapping[int, str] | None = None
    drawn_names: Mapping[str, int] | None = None  # of regions in DICOM SEG and RTSTRUCT
    calibrated: bool = False  # intensities have a unit, as in CT
    synthetic: bool = False  # the card is of a synthetic set

    @classmethod
    def of(cls, card: Card) -> Rules:
        """Return the rules of a card."""
        names = {value: label.name for value, label in card.labels.items()}
        calibrated, synthetic = card.modality == "CT", card.name.endswith(SYNTHETIC_CARD)
        return cls(card.channels, card.pixel_mm, card.mask, names, card.drawn_names, calibrated, synthetic)


@dataclass(frozen=True)
class Subject:
    """One image, and its mask where there is one."""

    id: str
    image: Path | Source | tuple[Path, ...]
    path: Path  # that stands for the image in a report
    mask: Path | None = None
    others: tuple[Path, ...] = ()  # further files that belong to it: channels, field of view

    @classmethod
    def of(cls, case: Case) -> Subject:
        """Return a case of a card as a subject."""
        image = case.images if len(case.images) > 1 else case.images[0]
        others = (*case.images[1:], *((case.fov,) if case.fov else ()))
        return cls(case.id, image, case.images[0], case.mask, others)


@dataclass(frozen=True)
class Facts:
    """What comparing the cases of a set needs to know about one."""

    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    low: float  # 1st percentile of the first channel
    high: float  # 99th percentile
    voxel_hash: str
    labels: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Examined:
    """One subject with everything found on it; no facts where the image does not read."""

    subject: Subject
    findings: tuple[Finding, ...]
    facts: Facts | None


def declared_bytes(subject: Subject) -> int:
    """Return the memory that examining a subject takes, from its header; 0 where it has none."""
    parts = subject.image if isinstance(subject.image, tuple) else (subject.image,)
    try:
        layouts = [_layout(part) for part in parts]
    except DataError:
        return 0
    return sum(math.prod(layout.shape) * layout.channels * BYTES_PER_VALUE for layout in layouts)


def examine_case(subject: Subject, rules: Rules) -> Examined:
    """Read image and mask, and return what is wrong or odd about them."""
    findings: list[Finding] = []
    try:
        image = _image(subject, rules)
        findings += _remarks(subject.path, image, synthetic=rules.synthetic)
        facts = _facts(image)
    except MemoryError:
        return Examined(subject, (Finding.of("memory", subject.path, "too large for this machine"),), None)
    except DataError as error:
        findings.append(Finding.of("unreadable", subject.path, str(error)))
        image, facts = None, None
    if subject.mask is not None:
        told, labels = _mask(subject.mask, image, rules)
        findings += told
        facts = replace(facts, labels=labels) if facts else None
    return Examined(subject, tuple(findings), facts)


def _image(subject: Subject, rules: Rules) -> Volume:
    source = subject.image
    if isinstance(source, tuple):
        return read_image(source, channels=len(source), pixel_mm=rules.pixel_mm, any_grid=True)
    channels = rules.channels or _layout(source).channels
    return read_image(source, channels=channels, pixel_mm=rules.pixel_mm, any_grid=True)


def _layout(source: Path | Source) -> Layout:
    return layout_of(source if isinstance(source, Source) else source_of(source), any_grid=True)


def _remarks(path: Path, image: Volume, *, synthetic: bool) -> list[Finding]:
    """Turn what the reader said into findings; a sheared grid is an error, whatever it said.

    That an image is synthetic is news only where the set is not meant to be.
    """
    said = []
    for text in image.warnings:
        kind = next((kind for words, kind in REMARKS.items() if words in text), "odd")
        if text == "one slice only" and image.header.get("format") == "dicom":
            kind = "slice"  # a DICOM file is one slice by nature
        said += [Finding.of(kind, path, text)] * (kind != "synthetic" or not synthetic)
    skew = axis_skew(image.grid.affine)
    if skew > SHEAR_LIMIT:
        said = [finding for finding in said if finding.kind != "skewed"]
        said.append(Finding.of("sheared", path, f"axes are not at right angles (largest cosine {skew:.3f})"))
    return said


def _facts(image: Volume) -> Facts:
    voxels = image.array[0].ravel()
    sample = voxels[:: max(1, voxels.size // SAMPLE_VOXELS)]
    low, high = np.percentile(sample, [1, 99])
    sha = hashlib.sha256(repr(image.array.shape).encode())
    sha.update(np.ascontiguousarray(image.array).data)
    return Facts(image.shape, image.spacing_mm, float(low), float(high), sha.hexdigest())


def _mask(path: Path, image: Volume | None, rules: Rules) -> tuple[list[Finding], tuple[int, ...] | None]:
    """Return the findings on a mask, and the labels it holds."""
    if is_drawn(path):
        return _drawn(path, image, rules)
    try:
        stored = stored_of(source_of(path), pixel_mm=rules.pixel_mm, any_grid=True, indices=True)
        if image is not None and _looks_swapped(stored.array, image.array, rules):
            told = "the mask holds many grey values and the image few whole numbers"
            return [Finding.of("swapped", path, told)], None
        values = stored.array[..., 0]
        rule = _guessed_rule(values) if rules.labels is None and not rules.mask.values else rules.mask
        known = None if rules.labels is None else tuple(rules.labels)
        labels = to_labels(path, values, rule, known)
    except DataError as error:
        return [Finding.of("mask", path, str(error))], None
    findings, found = _labels(path, labels)
    if values.dtype.kind == "f":
        findings.append(Finding.of("float-mask", path, f"whole numbers stored as {values.dtype.name}"))
    findings += _grid(path, image, stored, labels) if image is not None else []
    return findings, found


def _drawn(path: Path, image: Volume | None, rules: Rules) -> tuple[list[Finding], tuple[int, ...] | None]:
    """Return the findings on a DICOM SEG or RTSTRUCT; nothing without its image, which was told already."""
    if image is None:
        return [], None
    labels, names = rules.labels, rules.drawn_names
    try:
        mask = read_mask(path, rule=rules.mask, labels=labels, image=image, drawn_names=names)
    except DataError as error:
        return [Finding.of("mask", path, str(error))], None
    return _labels(path, mask.array)


def _labels(path: Path, labels: NDArray[np.uint8]) -> tuple[list[Finding], tuple[int, ...]]:
    """Return the labels that a mask holds, and a finding where there are none."""
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=1))
    found = tuple(int(value) for value in present if value > 0)
    return ([] if found else [Finding.of("empty", path, "no voxel above 0")]), found


def _guessed_rule(values: Array) -> MaskRule:
    """Without a card, integers above 255 are taken for numbered objects."""
    objects = values.dtype.kind in "iu" and values.size and values.max() > 255 and values.min() >= 0
    return MaskRule(rule="instances") if objects else MaskRule()


def _looks_swapped(mask: Array, image: NDArray[np.float32], rules: Rules) -> bool:
    if rules.mask.rule == "instances" and mask.dtype.kind in "iu":
        return False
    few = _distinct(image[0])
    return (
        _distinct(mask[..., 0]) > MANY_VALUES
        and 1 < few <= FEW_VALUES
        and bool((image == np.rint(image)).all())
    )


def _distinct(array: Array) -> int:
    values = array.ravel()
    return int(np.unique(values[:: max(1, values.size // SAMPLE_VOXELS)]).size)


def _grid(path: Path, image: Volume, stored: Stored, labels: NDArray[np.uint8]) -> list[Finding]:
    """Return how the grids of image and mask disagree."""
    grid = Grid.of(stored.layout.shape, stored.layout.affine)
    mask = Volume(grid.to_ras(labels), grid.ras_affine, grid, path, stored.layout.spacing_known)
    problem = same_grid(image, mask)
    turned = image.grid.orientation.shape != grid.orientation.shape or bool(
        (image.grid.orientation != grid.orientation).any()
    )
    if problem:
        kind = "mirrored" if turned and image.shape == mask.shape else "grid"
        return [Finding.of(kind, path, problem)]
    if turned:
        return [Finding.of("axes", path, "the mask is stored in another axis order than its image")]
    if not (image.spacing_known and mask.spacing_known):
        return []
    gap = corner_gap_mm(image.shape, image.affine, mask.affine)
    if gap > ROUNDING_VOXELS * min(image.spacing_mm):
        return [Finding.of("rounding", path, f"headers differ by {gap:.3g} mm at a corner")]
    return []
