"""Write masks as DICOM Segmentation (PS3.3 A.51): one segment a label, on the planes of the source images.

highdicom builds the object. Every plane of the mask is given with the place of its own source image, never
with flips or a computed volume: tilted and unevenly spaced series need nothing of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from medunet.config.card import Label
from medunet.errors import DataError
from medunet.io.dicom.reference import ScanReference
from medunet.io.results.codes import coding_of, warnings_of
from medunet.io.results.maker import (
    DISCLAIMER,
    Maker,
    count_labels,
    described,
    lenient,
    save,
    stamp,
    stand_ins,
    with_true_sources,
)
from medunet.io.results.rle import PlaneEncoder
from medunet.io.volume import Array

Kind = Literal["auto", "binary", "labelmap"]
MOST_BINARY = 8  # segments: every viewer reads BINARY, but it costs a frame per segment and slice
SLICES_AT_ONCE = 64


@dataclass(frozen=True)
class Segments:
    """A segmentation that was written, for the report that refers to it."""

    sop_class: str
    sop: str
    series: str
    numbers: dict[int, int]  # label value -> segment number; labels without voxels have no segment
    tracking: dict[int, str]  # label value -> tracking UID
    warnings: tuple[str, ...]


def write_seg(
    path: Path,
    mask: Array,
    reference: ScanReference,
    labels: Mapping[int, Label],
    maker: Maker,
    kind: Kind = "auto",
) -> Segments:
    """Write a mask (columns, rows[, slices]) of label values in the stored order of the grid.

    auto: BINARY up to 8 segments, LABELMAP with RLE above. The same call writes the same bytes. Raises
    DataError for a mask that does not fit the grid, holds values without a label, or is empty: viewers hang
    on empty segments.
    """
    counts = count_labels(path, mask, reference, labels)
    present = [value for value in labels if counts.get(value)]
    if not present:
        raise DataError(f"{path}: the mask is empty; a DICOM segmentation needs at least one voxel")
    labelmap = kind == "labelmap" or (kind == "auto" and len(present) > MOST_BINARY)
    numbers = {value: number + 1 for number, value in enumerate(present)}
    tracking = {value: maker.uid("segment", labels[value].name, reference.series) for value in present}
    descriptions = [
        _description(value, labels[value], numbers[value], tracking[value], maker) for value in present
    ]
    with lenient():
        dataset = hd.seg.Segmentation(
            source_images=stand_ins(reference),
            pixel_array=_planes(mask, numbers),
            segmentation_type="LABELMAP" if labelmap else "BINARY",
            segment_descriptions=descriptions,
            transfer_syntax_uid=RLELossless if labelmap else ExplicitVRLittleEndian,
            workers=PlaneEncoder() if labelmap else 0,
            content_label="MEDUNET_SEG",
            content_description=DISCLAIMER,
            content_creator_name="medunet^",
            **described("SEG", mask, reference, maker, "labelmap" if labelmap else "binary"),
        )
        with_true_sources(dataset, reference)
        if reference.images[0].plane is None:
            dataset.PatientOrientation = reference.header.get("PatientOrientation")
        _own_dimensions(dataset, maker.uid("dimensions", dataset.SOPInstanceUID))
        stamp(dataset, reference, maker)
        save(dataset, path)
    uids = str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), str(dataset.SeriesInstanceUID)
    return Segments(*uids, numbers, tracking, warnings_of({value: labels[value] for value in present}))


def _planes(mask: Array, numbers: Mapping[int, int]) -> Array:
    """Return segment numbers as (slices, rows, columns)."""
    stack = mask if mask.ndim == 3 else mask[:, :, None]
    if stack.dtype == np.uint8 and stack.flags.f_contiguous and all(v == n for v, n in numbers.items()):
        return stack.T
    table = np.zeros(max(numbers) + 1, np.uint8 if len(numbers) < 256 else np.uint16)
    for value, number in numbers.items():
        table[value] = number
    planes = np.empty(stack.shape[::-1], table.dtype)
    for start in range(
        0, len(planes), SLICES_AT_ONCE
    ):  # in parts: the axes of the two may run against each other
        part = slice(start, start + SLICES_AT_ONCE)
        planes[part] = np.take(table, stack[:, :, part].T)
    return planes


def _description(
    value: int, label: Label, number: int, tracking: str, maker: Maker
) -> hd.seg.SegmentDescription:
    coding = coding_of(value, label)
    algorithm = None  # PS3.3, C.8.20.4: none is named where a person has drawn it
    if maker.algorithm != "MANUAL":
        algorithm = hd.AlgorithmIdentificationSequence(
            maker.name, codes.DCM.ArtificialIntelligence, maker.version, "medunet", maker.parameters
        )
    description = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label.name[:64],
        segmented_property_category=coding.category,
        segmented_property_type=coding.type,
        algorithm_type=maker.algorithm,
        algorithm_identification=algorithm,
        tracking_uid=tracking,
        tracking_id=label.name[:64],
        display_color=hd.color.CIELabColor.from_rgb(*coding.rgb),
    )
    if coding.side:
        (kind,) = description.SegmentedPropertyTypeCodeSequence
        kind.SegmentedPropertyTypeModifierCodeSequence = [hd.sr.CodedConcept.from_code(coding.side)]
    return description


def _own_dimensions(dataset: Dataset, uid: str) -> None:
    """Replace the random UID of the dimensions."""
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
