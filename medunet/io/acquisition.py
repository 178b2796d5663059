"""How a DICOM series was acquired, in words and numbers that a generator may be told; nothing of identity.

Tags of PS3.3 C.7.5.1 (equipment), C.8.2.1 (CT), C.8.3.1 (MR), C.7.6.4 (contrast), C.7.2.2 (age of the patient
at the time of the study, in decades only).
"""

from __future__ import annotations

import re
from pathlib import Path

from pydicom.dataset import Dataset

from medunet.errors import DataError
from medunet.io.dicom.file import PARSE_ERRORS, read_header, tags_of
from medunet.io.dicom.headers import contrast_given

WORDS = {
    "modality": "Modality",
    "manufacturer": "Manufacturer",
    "scanner": "ManufacturerModelName",
    "kernel": "ConvolutionKernel",
}
NUMBERS = {"field_strength_t": "MagneticFieldStrength", "tube_kv": "KVP"}
TAGS = tags_of(*WORDS.values(), *NUMBERS.values(), "ContrastBolusAgent", "PatientAge")


def acquisition_of(folder: Path) -> dict[str, str | float]:
    """Return what the first DICOM file of a folder says of scanner, field, kernel, contrast and age.

    DataError where no file is one: a licence may lie beside a series, but not alone.
    """
    header = _first_header(folder)
    words = {name: str(header.get(keyword) or "").strip() for name, keyword in WORDS.items()}
    numbers = {name: header.get(keyword) for name, keyword in NUMBERS.items()}
    found: dict[str, str | float] = {name: text for name, text in words.items() if text}
    found |= {name: float(number) for name, number in numbers.items() if isinstance(number, int | float)}
    if (agent := header.get("ContrastBolusAgent")) is not None:
        found["contrast"] = "given" if contrast_given(agent) else "none"
    if years := re.fullmatch(r"(\d{3})Y", str(header.get("PatientAge") or "")):
        found["age"] = f"{int(years[1]) // 10 * 10}s"
    return found


def _first_header(folder: Path) -> Dataset:
    for path in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        try:
            return read_header(path, TAGS)[0]
        except (DataError, *PARSE_ERRORS):
            continue
    raise DataError(f"{folder}: no DICOM file that can be read; expected those of one series.")
