"""Look at DICOM objects that hold no scan: are their values legal, is what they refer to there?"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from medunet.io.dicom_file import PARSE_ERRORS

NUMBERS = ("IS", "DS")  # value representations that hold numbers as text
SHOWN = 3


def problem_of(path: Path) -> str | None:
    """Return what is wrong with a report, plan, dose or structure set, in words; None where nothing is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # illegal values are what is looked for
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            if illegal := list(_illegal_numbers(dataset)):
                return f"values that are no numbers: {', '.join(illegal[:SHOWN])}"
    except PARSE_ERRORS as error:
        return f"the DICOM data set is damaged ({str(error).strip() or type(error).__name__})"
    wanted = _referenced_series(dataset)
    if wanted and not wanted & _series_beside(path):
        return f"drawn on the series {', '.join(sorted(wanted)[:SHOWN])}, which is not in its folder"
    return None


def _illegal_numbers(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.VR in NUMBERS:
            values = element.value if element.VM > 1 else [element.value]
            yield from (f"{element.name} = {v!r}" for v in values if isinstance(v, str) and not _is_number(v))


def _is_number(text: str) -> bool:
    try:
        float(text or 0)
    except ValueError:
        return False
    return True


def _referenced_series(dataset: Dataset) -> set[str]:
    """Return the series that a structure set was drawn on (DICOM PS3.3 C.8.8.5)."""
    if dataset.get("Modality") != "RTSTRUCT":
        return set()
    return {
        str(series.SeriesInstanceUID)
        for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ()
        for study in frame.get("RTReferencedStudySequence") or ()
        for series in study.get("RTReferencedSeriesSequence") or ()
        if series.get("SeriesInstanceUID")
    }


def _series_beside(path: Path) -> set[str]:
    found = set()
    for other in sorted(path.parent.iterdir()):
        if other == path or not other.is_file():
            continue
        try:
            header = pydicom.dcmread(other, specific_tags=["SeriesInstanceUID"], stop_before_pixels=True)
        except PARSE_ERRORS:
            continue
        found.add(str(header.get("SeriesInstanceUID") or ""))
    return found
