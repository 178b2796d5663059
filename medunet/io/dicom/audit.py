"""Look at DICOM objects that hold no scan: are their values legal, is what they refer to there?

What is told names elements, never their values: they may name a patient.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pydicom.dataset import Dataset

from medunet.errors import DataError
from medunet.io.dicom.file import PARSE_ERRORS, read_header, tags_of

NUMBERS = ("IS", "DS")  # value representations that hold numbers as text
SHOWN = 3
DRAWN = "RTSTRUCT"


class Audit:
    """Looks at the objects of a tree; each folder's series are looked up once."""

    def __init__(self) -> None:
        """Start with no folder known."""
        self._series_in = cache(_series_in)

    def problem_of(self, path: Path) -> str | None:
        """Return what is wrong with a report, plan, dose or structure set, in words, or None."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # illegal values are what is looked for
                dataset, _ = read_header(path)
                illegal = list(dict.fromkeys(_illegal_numbers(dataset)))
                wanted = _referenced_series(dataset)
        except (DataError, *PARSE_ERRORS) as error:
            said = str(error) if isinstance(error, DataError) else type(error).__name__
            return f"the DICOM data set is damaged ({said})"
        if illegal:
            return f"values that are no numbers: {', '.join(illegal[:SHOWN])}"
        if wanted and not wanted & self._series_in(path.parent):
            return "drawn on a series which is not in its folder; put it beside its images"
        return None


def _illegal_numbers(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.VR in NUMBERS:
            values = element.value if element.VM > 1 else [element.value]
            if any(isinstance(value, str) and not _is_number(value) for value in values):
                yield element.name


def _is_number(text: str) -> bool:
    try:
        float(text or 0)
    except ValueError:
        return False
    return True


def _referenced_series(dataset: Dataset) -> set[str]:
    """Return the series that a structure set was drawn on (DICOM PS3.3 C.8.8.5)."""
    if dataset.get("Modality") != DRAWN:
        return set()
    return {
        str(series.SeriesInstanceUID)
        for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ()
        for study in frame.get("RTReferencedStudySequence") or ()
        for series in study.get("RTReferencedSeriesSequence") or ()
        if series.get("SeriesInstanceUID")
    }


def _series_in(folder: Path) -> frozenset[str]:
    """Return the series of the files of a folder, but those of other structure sets."""
    found = set()
    for file in filter(Path.is_file, folder.iterdir()):
        try:
            header, _ = read_header(file, tags_of("SeriesInstanceUID", "Modality"))
            if header.get("Modality") != DRAWN:
                found.add(str(header.get("SeriesInstanceUID") or ""))
        except (DataError, *PARSE_ERRORS):
            continue
    return frozenset(found)
