"""What the images of each modality must say in DICOM (PS3.3 A.2 to A.8) where no scanner measured a thing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
    SecondaryCaptureImageStorage,
)

from medunet.io.results.maker import decimals
from medunet.io.volume import Array

CT_INTERCEPT_HU = -1024  # as scanners keep HU
LEVELS, HALF = 65535, 32767


def _nothing(index: int, count: int) -> dict[str, Any]:  # noqa: ARG001
    return {}


@dataclass(frozen=True)
class Kind:
    """The images of a modality."""

    sop_class: str
    modality: str
    image_type: tuple[str, ...]  # after DERIVED, before SYNTHETIC
    facts: dict[str, Any] = field(default_factory=dict)
    in_space: bool = True  # slices have a place in the body
    signed: bool = False  # stored around 0: PET has no intercept (PS3.3 C.8.9.4.1.3)
    slice_facts: Callable[[int, int], dict[str, Any]] = _nothing  # of slice number and their count


def _capture(modality: str) -> Kind:
    facts = {"ConversionType": "SYN", "PatientOrientation": ""}
    return Kind(SecondaryCaptureImageStorage, modality, ("SECONDARY", "OTHER"), facts, in_space=False)


def _pet_slice(index: int, count: int) -> dict[str, Any]:
    return {"ImageIndex": index + 1, "NumberOfSlices": count}


KINDS: dict[str, Kind] = {
    "CT": Kind(
        CTImageStorage,
        "CT",
        ("SECONDARY", "AXIAL"),
        {"KVP": "", "AcquisitionNumber": 1, "PatientPosition": "HFS", "RescaleType": "HU"},
    ),
    "MR": Kind(
        MRImageStorage,
        "MR",
        ("SECONDARY", "OTHER"),
        {
            "ScanningSequence": "RM",  # research mode: none of the others was run
            "SequenceVariant": "NONE",
            "ScanOptions": "",
            "MRAcquisitionType": "",
            "RepetitionTime": "",
            "EchoTime": "",
            "EchoTrainLength": "",
            "PatientPosition": "HFS",
        },
    ),
    "PET": Kind(
        PositronEmissionTomographyImageStorage,
        "PT",
        ("PRIMARY",),  # the only word that PS3.3 C.8.9.4.1.1 knows here
        {
            "PatientOrientationCodeSequence": [],
            "PatientGantryRelationshipCodeSequence": [],
            "Units": "PROPCNTS",
            "CountsSource": "EMISSION",
            "SeriesType": ["STATIC", "IMAGE"],
            "CorrectedImage": "",
            "DecayCorrection": "NONE",
            "CollimatorType": "",
            "RadiopharmaceuticalInformationSequence": [],
            "FrameReferenceTime": "0",
            "ActualFrameDuration": "",
        },
        signed=True,
        slice_facts=_pet_slice,
    ),
    "US": _capture("US"),
    "XR": _capture("DX"),
    "fundus": _capture("OP"),
    "microscopy": _capture("SM"),
    "EM": _capture("OT"),
}


def as_stored(image: Array, kind: Kind) -> tuple[Array, dict[str, Any]]:
    """Return whole numbers of 16 bits, and slope and intercept that lead back to the values (PS3.3 C.11.1).

    Whole numbers that fit are kept as they are, others spread over all levels.
    """
    values = np.asarray(image, np.float64)
    low, high = float(values.min()), float(values.max())
    whole = np.array_equal(values, np.rint(values))
    if kind.signed:
        most = max(-low, high)
        intercept, slope = 0.0, 1.0 if whole and most <= HALF else most / HALF
    else:
        intercept, slope = min(low, float(CT_INTERCEPT_HU) if kind.modality == "CT" else 0.0), 1.0
        if not whole or high - intercept > LEVELS:
            intercept, slope = low, (high - low) / LEVELS
    said = decimals([intercept, slope or 1.0])
    stored = np.rint((values - float(said[0])) / float(said[1]))
    ends = (-HALF, HALF) if kind.signed else (0, LEVELS)
    facts = {"RescaleIntercept": said[0], "RescaleSlope": said[1]}
    facts |= {} if kind.in_space else {"RescaleType": "US"}
    return np.clip(stored, *ends).astype(np.int16 if kind.signed else np.uint16), facts


def window(image: Array) -> dict[str, Any]:
    """Return the window that shows the middle 98 % of the values."""
    low, high = (float(value) for value in np.percentile(image, (1, 99)))
    centre, width = decimals([(low + high) / 2, high - low if high > low else 1.0])
    return {"WindowCenter": centre, "WindowWidth": width}
