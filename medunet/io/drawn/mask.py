"""DICOM SEG and RTSTRUCT as masks: what was drawn elsewhere, as labels of a card on the grid of the scan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medunet.config.card import MaskRule, plain
from medunet.errors import DataError
from medunet.io.dicom.file import PARSE_ERRORS, read_header, tags_of
from medunet.io.dicom.reference import ScanReference
from medunet.io.drawn.regions import Regions, label_map
from medunet.io.drawn.rtstruct import read_rtstruct
from medunet.io.drawn.seg import read_seg
from medunet.io.volume import Grid

LARGEST = 255
_MODALITY = tags_of("Modality")


def mask_kind(path: Path) -> Literal["SEG", "RTSTRUCT"] | None:
    """Return what kind of drawing a DICOM file holds; None for anything else, such as an image."""
    try:
        modality = str(read_header(path, _MODALITY)[0].get("Modality"))
    except PARSE_ERRORS as error:
        raise DataError(f"{path}: the DICOM header is damaged ({type(error).__name__})") from error
    return modality if modality in ("SEG", "RTSTRUCT") else None  # type: ignore[return-value]


def read_dicom_mask(
    path: Path,
    grid: Grid,
    drawn_names: Mapping[str, int] | None,
    reference: ScanReference | None = None,
    *,
    rule: MaskRule = MaskRule(),  # noqa: B008 (frozen)
) -> NDArray[np.uint8]:
    """Return a SEG or RTSTRUCT as labels in the stored order of the scan's grid.

    drawn_names are the card's: the label of each name, as `plain` makes it. rule says what becomes of other
    names and of overlaps. None: the segment numbers are the values. DataError says why the file cannot be a
    mask of this scan: other voxels, another series, overlaps, unknown names.
    """
    kind = mask_kind(path)
    if kind is None:
        raise DataError(
            f"{path}: a DICOM image; expected a mask: SEG, RTSTRUCT, NIfTI, NRRD, MetaImage, PNG or TIFF"
        )
    regions = (read_seg if kind == "SEG" else read_rtstruct)(path, grid, reference)
    values = _by_number(regions) if drawn_names is None else _by_name(regions, drawn_names, rule.others)
    return label_map(regions, grid.shape, values, rule.overlaps)


def _by_number(regions: Regions) -> dict[int, int]:
    if (largest := max(regions.names, default=0)) > LARGEST:
        raise DataError(
            f"{regions.path}: segment number {largest}; as values of a mask at most {LARGEST} are read"
        )
    return {number: number for number in regions.names}


def _by_name(regions: Regions, drawn_names: Mapping[str, int], others: str) -> dict[int, int]:
    plains = {number: plain(name) for number, name in regions.names.items()}
    found = {number: drawn_names[name] for number, name in plains.items() if name in drawn_names}
    unknown = sorted(name for number, name in regions.names.items() if number not in found)
    if unknown and (others == "refuse" or not found):
        said = ", ".join(unknown[:8]) + (f" and {len(unknown) - 8} more" if len(unknown) > 8 else "")
        raise DataError(
            f"{regions.path}: it draws {said}, which {'are' if len(unknown) > 1 else 'is'} no label of "
            f"the card; expected {', '.join(drawn_names)}. "
            "Add `aliases` to the labels, or `others: leave out` under `mask`"
        )
    return found
