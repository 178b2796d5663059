"""What must not be found again: the identifying strings of an original, from every depth.

For the verifier only, and apart from the cleaner on purpose: it shares no list and no rule with it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID

Path = tuple[int, ...]


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


NUMBERS_OF_PERSONS = _set(
    """PatientID OtherPatientIDs AccessionNumber AdmissionID ServiceEpisodeID MedicalRecordLocator
    PatientAddress PatientTelephoneNumbers PersonTelephoneNumbers PersonAddress InsurancePlanIdentification
    ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers MilitaryRank
    IssuerOfPatientID RequestingService PlacerOrderNumberImagingServiceRequest
    FillerOrderNumberImagingServiceRequest"""
)
OF_THE_MACHINE = _set(
    """Manufacturer ManufacturerModelName SoftwareVersions SequenceName PulseSequenceName ImagedNucleus
    ReceiveCoilName TransmitCoilName MultiCoilElementName ConvolutionKernel FilterType CollimatorGridName
    ViewName StackID EnergyWindowName ImageFilter Radiopharmaceutical Radionuclide RadiopharmaceuticalRoute
    ContrastBolusRoute AttenuationCorrectionMethod ReconstructionMethod ScatterCorrectionMethod
    DetectorLinesOfResponseUsed RescaleType ModalityLUTType WindowCenterWidthExplanation LUTExplanation
    LUTLabel PositionReferenceIndicator DimensionDescriptionLabel SegmentAlgorithmName AlgorithmName
    AlgorithmVersion OpticalPathIdentifier OpticalPathDescription SegmentLabel SegmentDescription ROIName
    TrackingID CodeValue CodeMeaning LongCodeValue URNCodeValue CodingSchemeDesignator
    CodingSchemeVersion ImplementationVersionName"""
)
CLASSES = re.compile(r".*(SOPClass|TransferSyntax|CodingScheme|ContextUID|MappingResource|Implementation).*")
TEXT = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "UR", "AE"})
SAYS_NOTHING = _set(
    """dr prof med mr mrs ms von van der den and the jun sen anonymous anonymized anonymised anon removed
    unknown none null patient phantom test case no name not given http://removed.invalid"""
)
WORD = re.compile(r"[^\W_]+")
SHORTEST_NAME, SHORTEST_TEXT, SHORTEST_RUN = 2, 4, 8
_LONG_NUMBER = re.compile(r"(?<![\w.])\+?\d[\d /-]{4,}\d(?![\w.])")  # telephones, patient numbers in text
_MEASURE = re.compile(r"[-+\d.eE\\ ]*")  # what scanners write as text into private attributes
_RUNS = re.compile(rb"[ -~]{%d,}" % SHORTEST_RUN)
_TECHNICAL_BULK = re.compile(r".*PixelData|.*LookupTableData|LUTData|ICCProfile")


@dataclass
class Needles:
    """Lower-case strings by kind; `names` are looked for everywhere, `texts` not in technical attributes."""

    names: set[str] = field(default_factory=set)  # of persons, and numbers that stand for one
    texts: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)  # printable parts of binary values
    uids: set[str] = field(default_factory=set)
    dates: dict[Path, set[str]] = field(default_factory=lambda: defaultdict(set))  # YYYYMMDD


def walk(dataset: Dataset, path: Path = ()) -> Iterator[tuple[Path, DataElement]]:
    """Yield every element at every depth with the tags that lead to it, the file meta first."""
    if not path and getattr(dataset, "file_meta", None):
        yield from walk(dataset.file_meta, (2,))
    for element in dataset:
        here = (*path, int(element.tag))
        yield here, element
        if element.VR == "SQ":
            for item in element.value:
                yield from walk(item, here)


def needles_of(original: Dataset) -> Needles:
    """Return what identifies the patient, persons and places in an original data set."""
    found = Needles()
    for path, element in walk(original):
        _collect(found, path, element)
    found.runs.update(_printable(getattr(original, "preamble", None) or b""))
    found.texts -= SAYS_NOTHING | found.names
    return found


def values_of(element: DataElement) -> list[str]:
    """Return the values of an element as text; none of a sequence or an empty element."""
    if element.is_empty or element.VR == "SQ":
        return []
    return [str(value).strip(" \0") for value in (element.value if element.VM > 1 else [element.value])]


def _collect(found: Needles, path: Path, element: DataElement) -> None:
    values = values_of(element)
    if element.VR == "PN":
        found.names.update(word for value in values for word in _name_words(value))
    elif element.VR == "UI":
        if not CLASSES.match(element.keyword):
            found.uids.update(uid for uid in values if uid and UID(uid).name == uid)
    elif element.VR in ("DA", "DT"):
        found.dates[path].update(day for value in values if (day := day_of(value)))
    elif element.keyword in NUMBERS_OF_PERSONS:
        found.names.update(text.lower() for text in values if len(text) >= SHORTEST_NAME)
    elif isinstance(element.value, bytes):
        found.runs.update(() if _TECHNICAL_BULK.fullmatch(element.keyword) else _printable(element.value))
    elif element.keyword not in OF_THE_MACHINE:
        _collect_text(found, element, values)


def _collect_text(found: Needles, element: DataElement, values: list[str]) -> None:
    if element.tag.is_private:
        values = [value for value in values if value.isdigit() or not _MEASURE.fullmatch(value)]
    elif element.VR not in TEXT:
        return
    for value in values:
        lines = [line.strip() for line in value.lower().splitlines()]
        found.texts.update(line for line in lines if len(line) >= SHORTEST_TEXT)
        if not element.tag.is_private:
            found.names.update(_LONG_NUMBER.findall(value))


def _name_words(name: str) -> Iterator[str]:
    """Yield the words of a person's name in all its alphabets; one ideograph may be a whole family name."""
    for word in WORD.findall(name.lower()):
        enough = 1 if not word.isascii() and ord(word[0]) >= 0x1100 else SHORTEST_NAME
        if len(word) >= enough and word not in SAYS_NOTHING:
            yield word


def day_of(text: str) -> str:
    """Return YYYYMMDD of a date or date and time; empty where it names no day."""
    digits = text.replace(".", "")[:8] if re.match(r"\d{4}\.\d\d\.\d\d$", text) else text[:8]
    return digits if len(digits) == 8 and digits.isdigit() else ""


def _printable(value: bytes) -> Iterator[str]:
    for run in _RUNS.findall(value):
        if text := run.decode("ascii").strip().lower():
            yield text
