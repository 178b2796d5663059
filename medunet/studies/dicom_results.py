"""DICOM results of a study: segmentation, structure set, report and preview, on the slices of its scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medunet import __version__
from medunet.io.results.maker import Maker
from medunet.io.results.preview import write_preview
from medunet.io.results.rtstruct import write_rtstruct
from medunet.io.results.seg import Segments, write_seg
from medunet.io.results.sr import write_sr
from medunet.studies.identity import sha256_of
from medunet.studies.study import Study


def segmentation(study: Study, folder: Path) -> Sequence[str]:
    """Write seg.dcm; an empty mask has none, for viewers hang on empty segments."""
    if not (folder / "seg.dcm").exists() and (made := _segments(study, folder)):
        return [*study.reference.warnings, *made.warnings]
    return []


def structures(study: Study, folder: Path) -> Sequence[str]:
    """Write rtstruct.dcm; an empty mask has none."""
    if not study.stored_mask.any():
        return []
    reference, labels = study.reference, study.card.labels
    told = write_rtstruct(folder / "rtstruct.dcm", study.stored_mask, reference, labels, _maker(study))
    return [*reference.warnings, *told]


def report(study: Study, folder: Path) -> Sequence[str]:
    """Write sr.dcm with the volumes, and the segmentation that it refers to."""
    segments, reference, labels = _segments(study, folder), study.reference, study.card.labels
    told = write_sr(folder / "sr.dcm", study.stored_mask, reference, labels, _maker(study), segments)
    return [*reference.warnings, *told]


def preview(study: Study, folder: Path) -> Sequence[str]:
    """Write preview.dcm: outlines on slices, for any viewer."""
    image = study.volume.grid.from_ras(study.volume.array[0])
    reference, labels = study.reference, study.card.labels
    write_preview(folder / "preview.dcm", image, study.stored_mask, reference, labels, _maker(study))
    return reference.warnings


def _maker(study: Study) -> Maker:
    """Return the maker: UIDs follow from scan, mask, model and options, not from the formats asked for."""
    name = str(study.model["run"])[:64]
    return Maker(name, __version__, study.model_sha256, sha256_of(study.options))


def _segments(study: Study, folder: Path) -> Segments | None:
    if not study.stored_mask.any():
        return None
    return write_seg(folder / "seg.dcm", study.stored_mask, study.reference, study.card.labels, _maker(study))
