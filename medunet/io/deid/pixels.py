"""Which objects may hold a name in the picture or in free text: they need a person's eye before they leave.

Headers cannot prove clean pixels. So the gate lets through only what scanners make as slices or numbers, and
projections that say themselves that nothing is burned in; everything else is quarantined with its reason.
"""

from __future__ import annotations

import re

from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

SECTIONS = frozenset({"CT", "MR", "PT", "NM"})
PROJECTIONS = frozenset({"CR", "DX", "MG", "IO", "PX"})
DRAWN = frozenset(  # pixels that are labels or doses: SEG, label map SEG, RTDOSE
    f"1.2.840.10008.5.1.4.1.1.{last}" for last in ("66.4", "66.7", "481.2")
)
REPORTS = frozenset({"SR", "KO"})
NO_PICTURE = REPORTS | {"RTSTRUCT", "RTPLAN", "REG", "RWV"}
MICROSCOPY = frozenset({"SM"})  # colour is normal here; the photograph of the label is not
_PICTURED = frozenset(
    {"SECONDARY", "SCREEN", "SCREENSHOT", "SCREEN SHOT", "SCREEN SAVE", "LABEL", "OVERVIEW"}
)
_NOT_IMAGES = {
    "1.2.840.10008.5.1.4.1.1.104": "a document in DICOM (PDF, CDA, STL or other)",
    "1.2.840.10008.5.1.4.1.1.11": "a presentation state: its graphics may hold text",
    "1.2.840.10008.5.1.4.1.1.7": "a secondary capture: a picture of a screen or of paper",
    "1.2.840.10008.5.1.4.1.1.9": "a waveform",
    "1.2.840.10008.5.1.4.1.1.77.1.4": "a photograph or video",
    "1.2.840.10008.1.3.10": "a DICOMDIR: the index of a medium, with the names of patients",
}
_HEAD = re.compile(
    r"\b(head|brain|skull|face|facial|neuro|cranial|cerebral|orbit|sinus|kopf|sch[aä]del|hirn|gehirn|gesicht"
    r"|tête|cerveau|cr[aâ]ne)",
    re.IGNORECASE,
)
_HEAD_CODES = frozenset({"69536005", "12738006", "89546000", "89545001", "T-D1100", "T-A0100", "T-11100"})
_HEAD_WORDS = ("BodyPartExamined", "StudyDescription", "SeriesDescription", "ProtocolName")


def reason_to_quarantine(dataset: Dataset) -> str | None:
    """Return why the original must not be exported without a person's look; None if it may be."""
    if str(dataset.get("BurnedInAnnotation") or "").strip().upper() == "YES":
        return "the header says that text is burned into the pixels"
    sop_class = str(dataset.get("SOPClassUID") or dataset.file_meta.get("MediaStorageSOPClassUID") or "")
    for root, reason in _NOT_IMAGES.items():
        if sop_class == root or sop_class.startswith(f"{root}."):
            return reason
    if UID(sop_class).name == sop_class:
        return "a kind of object that only its maker knows"
    modality = str(dataset.get("Modality") or "")
    if sop_class in DRAWN or (modality in NO_PICTURE and "PixelData" not in dataset):
        return "a report with free text" if modality in REPORTS and _has_free_text(dataset) else None
    return _of_kind(dataset, modality) or _of_pixels(dataset, modality)


def shows_a_head(dataset: Dataset) -> bool:
    """Tell whether a section image is of a head by what its header says: a face can be rebuilt from it."""
    if str(dataset.get("Modality") or "") not in SECTIONS:
        return False
    if any(_HEAD.search(str(dataset.get(word) or "").replace("_", " ")) for word in _HEAD_WORDS):
        return True
    regions = dataset.get("AnatomicRegionSequence") or ()
    return any(str(region.get("CodeValue") or "") in _HEAD_CODES for region in regions)


def _of_kind(dataset: Dataset, modality: str) -> str | None:
    clean = str(dataset.get("BurnedInAnnotation") or "").strip().upper() == "NO"
    if modality in PROJECTIONS and not clean:
        return f"{modality} that does not say that its pixels are free of burned-in text"
    if modality not in SECTIONS | PROJECTIONS | MICROSCOPY:
        return f"modality {_shown(modality)}: text is often burned into such pictures"
    return None


def _of_pixels(dataset: Dataset, modality: str) -> str | None:
    kinds = dataset.get("ImageType") or ()
    words = {str(word).strip().upper() for word in ([kinds] if isinstance(kinds, str) else kinds)}
    if found := words & _PICTURED:
        return f"image type {', '.join(sorted(found))}: a picture that a program drew, or of a label"
    samples, photometric = dataset.get("SamplesPerPixel"), str(dataset.get("PhotometricInterpretation") or "")
    coloured = samples not in (None, 1) or (photometric and not photometric.startswith("MONOCHROME"))
    if coloured and modality not in MICROSCOPY:
        return f"a colour picture ({_shown(photometric)}) where grey values are expected"
    if _embedded_overlay(dataset):
        return "an overlay lies in the unused bits of the pixels, where text may be drawn"
    return None


def _embedded_overlay(dataset: Dataset) -> bool:
    """Tell an overlay of the old kind (PS3.5 8.1.2, retired): its bits are part of PixelData."""
    overlays = range(0x6000, 0x6020, 2)
    return any(
        Tag(group, 0x0102) in dataset and Tag(group, 0x3000) not in dataset and dataset[group, 0x0102].value
        for group in overlays
    )


def _has_free_text(dataset: Dataset) -> bool:
    return any(
        (element.keyword == "TextValue" and not element.is_empty) or element.keyword == "EncapsulatedDocument"
        for element in dataset.iterall()
    )


def _shown(word: str) -> str:
    """Return a coded word for a message; never free text that stands in its place."""
    return word if re.fullmatch(r"[A-Z0-9_ ]{1,16}", word) else "of no known kind"
