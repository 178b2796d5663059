"""How a result becomes files: one function a format, all of one study or none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from medunet.io.write import write_mask
from medunet.studies import dicom_results
from medunet.studies.study import Study


class Writer(Protocol):
    """Writes a result into a folder of its own; the same input must give the same bytes."""

    def __call__(self, study: Study, folder: Path) -> Sequence[str]:
        """Return warnings; StudyError or DataError if the study cannot be written this way."""
        ...


def write_nifti(study: Study, folder: Path) -> Sequence[str]:
    """Write the mask on the scan's own grid: mask.nii.gz, of a picture mask.png."""
    write_mask(folder / ("mask.nii.gz" if study.card.dims == 3 else "mask.png"), study.mask, study.volume)
    return []


WRITERS: dict[str, Writer] = {
    "nifti": write_nifti,
    "sr": dicom_results.report,  # writes the segmentation that it refers to, which is then there
    "seg": dicom_results.segmentation,
    "rtstruct": dicom_results.structures,
    "preview": dicom_results.preview,
}
NEED_DICOM = set(WRITERS) - {"nifti"}
