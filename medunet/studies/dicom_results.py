"""DICOM results of a study: segmentation, structure set, report and preview, on the slices of its scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medunet import __version__
from medunet.io.dicom_object import Maker
from medunet.io.dicom_rtstruct import write_rtstruct
from medunet.io.dicom_sc import write_preview
from medunet.io.dicom_seg import Segments, write_seg
from medunet.io.dicom_sr import write_sr
from medunet.io.volume import Volume
from medunet.studies.identity import sha256_of
from medunet.studies.study import Study


def segmentation(volume: Volume, mask: NDArray[Any], study: Study, folder: Path) -> Sequence[Path]:
    """Write seg.dcm; an empty mask has none, for viewers hang on empty segments."""
    path = folder / "seg.dcm"
    return [path] if path.exists() or _segments(volume, mask, study, folder) else []


def structures(volume: Volume, mask: NDArray[Any], study: Study, folder: Path) -> Sequence[Path]:
    """Write rtstruct.dcm; an empty mask has none."""
    if not mask.any():
        return []
    path = folder / "rtstruct.dcm"
    write_rtstruct(path, _stored(volume, mask), study.reference, study.card.labels, _maker(study))
    return [path]


def report(volume: Volume, mask: NDArray[Any], study: Study, folder: Path) -> Sequence[Path]:
    """Write sr.dcm with the volumes, and the segmentation that it refers to."""
    path, segments = folder / "sr.dcm", _segments(volume, mask, study, folder)
    write_sr(path, _stored(volume, mask), study.reference, study.card.labels, _maker(study), segments)
    return [path, folder / "seg.dcm"] if segments else [path]


def preview(volume: Volume, mask: NDArray[Any], study: Study, folder: Path) -> Sequence[Path]:
    """Write preview.dcm: outlines on slices, for any viewer."""
    path = folder / "preview.dcm"
    image, drawn = _stored(volume, volume.array[0]), _stored(volume, mask)
    write_preview(path, image, drawn, study.reference, study.card.labels, _maker(study))
    return [path]


def _stored(volume: Volume, array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(volume.grid.from_ras(array))


def _maker(study: Study) -> Maker:
    """Return the maker: UIDs follow from scan, model and options, not from the formats asked for."""
    name = str(study.model["run"])[:64]
    return Maker(name, __version__, study.model_sha256, sha256_of(study.options))


def _segments(volume: Volume, mask: NDArray[Any], study: Study, folder: Path) -> Segments | None:
    if not mask.any():
        return None
    path = folder / "seg.dcm"
    return write_seg(path, _stored(volume, mask), study.reference, study.card.labels, _maker(study))
