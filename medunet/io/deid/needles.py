"""What must not be found again: the identifying strings of an original, from every depth.

For the verifier only, and apart from the cleaner on purpose. Both use the reader of DICOM files and the
public words of medicine (anatomy.py): a mistake in these two is one that both make.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID

from medunet.io.deid.anatomy import is_anatomy, is_public

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
TYPED = _set("ROIName SegmentLabel SegmentDescription TrackingID")  # people write there what they like
IDS = _set("PatientID OtherPatientIDs")
CLASSES = re.compile(r".*(SOPClass|TransferSyntax|CodingScheme|ContextUID|MappingResource|Implementation).*")
TEXT = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "UR", "AE"})
SAYS_NOTHING = _set(
    """dr prof med mr mrs ms von van der den and the jun sen anonymous anonymized anonymised anon removed
    unknown none null patient phantom test case no name not given http://removed.invalid"""
)
WORD = re.compile(r"[^\W_]+")
RUN = re.compile(r"[^\W\d_]+")
SHORTEST_NAME, SHORTEST_TEXT, SHORTEST_RUN = 2, 4, 8
SHORTEST_INSIDE = 4  # letters of a name, or of a number, that counts inside the words of a label
MOST_WORDS = 12  # of one name that are paired
_LONG_NUMBER = re.compile(r"(?<![\w.])\+?\d[\d /-]{4,}\d(?![\w.])")  # telephones, patient numbers in text
_MEASURE = re.compile(r"[-+\d.eE\\ ]*")  # what scanners write as text into private attributes
_RUNS = re.compile(rb"[ -~]{%d,}" % SHORTEST_RUN)
_TECHNICAL_BULK = re.compile(r".*PixelData|.*LookupTableData|LUTData|ICCProfile")


@dataclass
class Needles:
    """Lower-case strings by kind; `names` are looked for everywhere, `texts` not in technical attributes."""

    names: set[str] = field(default_factory=set)  # of persons, and numbers that stand for one
    full: set[str] = field(default_factory=set)  # two words of one name, in both orders, with a space or none
    inside: set[str] = field(default_factory=set)  # what counts inside the words of a label, folded
    ids: set[str] = field(default_factory=set)  # of the patient, letters and digits only
    texts: set[str] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)  # printable parts of binary values
    uids: set[str] = field(default_factory=set)
    dates: dict[Path, set[str]] = field(default_factory=lambda: defaultdict(set))  # YYYYMMDD

    def without_public_words(self, text: str) -> str:
        """Return a lower-case text with a bar for each public word, its plural or side, that is no name."""
        named = self.names | self.full | self.inside | self.ids

        def shown(match: re.Match[str]) -> str:
            candidates = (match[0], match[0][:-1])
            if match[0] in named or not any(is_public(word) for word in candidates if word not in named):
                return match[0]
            return "|"

        return RUN.sub(shown, text)


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
    found.ids -= SAYS_NOTHING
    return found


def values_of(element: DataElement) -> list[str]:
    """Return the values of an element as text; none of a sequence or an empty element."""
    if element.is_empty or element.VR == "SQ":
        return []
    return [str(value).strip(" \0") for value in (element.value if element.VM > 1 else [element.value])]


def _collect(found: Needles, path: Path, element: DataElement) -> None:
    values = values_of(element)
    if element.VR == "PN":
        _collect_persons(found, values)
    elif element.VR == "UI":
        if not CLASSES.match(element.keyword):
            found.uids.update(uid for uid in values if uid and UID(uid).name == uid)
    elif element.VR in ("DA", "DT"):
        found.dates[path].update(day for value in values if (day := day_of(value)))
    elif element.keyword in NUMBERS_OF_PERSONS:
        found.names.update(text.lower() for text in values if len(text) >= SHORTEST_NAME)
        found.ids.update(_bare(values) if element.keyword in IDS else ())
    elif isinstance(element.value, bytes):
        found.runs.update(() if _TECHNICAL_BULK.fullmatch(element.keyword) else _printable(element.value))
    elif element.keyword not in OF_THE_MACHINE:
        _collect_text(found, element, values)


def _collect_persons(found: Needles, values: list[str]) -> None:
    for value in values:
        found.names.update(_name_words(value))
        found.inside.update(word for word in _name_words(folded(value)) if _counts(word))
        found.full.update(_full_forms(folded(value)))


def _bare(values: list[str]) -> Iterator[str]:
    """Yield numbers as letters and digits only, those that are long enough and no part of the body."""
    for value in values:
        text = "".join(WORD.findall(folded(value)))
        if len(text) >= SHORTEST_INSIDE and not is_anatomy(text):
            yield text


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
    for word in WORD.findall(lowered(name)):
        enough = 1 if not word.isascii() and ord(word[0]) >= 0x1100 else SHORTEST_NAME
        if len(word) >= enough and word not in SAYS_NOTHING:
            yield word


def _counts(word: str) -> bool:
    """Tell a word of a name that is looked for inside the words of a label."""
    enough = 1 if is_dense(word) else SHORTEST_INSIDE
    return word.isalpha() and len(word) >= enough and not is_anatomy(word)


def _full_forms(name: str) -> Iterator[str]:
    """Yield every two words of a folded name as one: family and given, given and family."""
    for alphabet in name.split("="):
        words = [word for word in WORD.findall(alphabet) if word.isalpha()]
        several = [word for word in words if len(word) > 1 or is_dense(word)][:MOST_WORDS]
        for one, other in permutations(several, 2):
            yield from (f"{one}{other}", f"{one} {other}")


def lowered(text: str) -> str:
    """Return a text in lower case; the Turkish dotted I becomes one letter, not a letter and a mark."""
    return text.lower().replace("i\u0307", "i")


def is_dense(text: str) -> bool:
    """Tell a word in letters that need no spaces around a name: Indic, Thai, Chinese, Japanese, Korean."""
    return any(0x0900 <= ord(letter) < 0x1D00 or ord(letter) >= 0x2E80 for letter in text)


def folded(text: str) -> str:
    """Return a text in lower case, its letters without accents and in one width.

    >>> folded("M\u00dcLLER \uff2c\uff49")
    'muller li'
    """
    split = unicodedata.normalize("NFKD", text)
    bare = (letter for letter in split if unicodedata.category(letter) not in {"Mn", "Mc", "Me", "Cf"})
    return unicodedata.normalize("NFC", "".join(bare).casefold())


def day_of(text: str) -> str:
    """Return YYYYMMDD of a date or date and time; empty where it names no day."""
    digits = text.replace(".", "")[:8] if re.match(r"\d{4}\.\d\d\.\d\d$", text) else text[:8]
    return digits if len(digits) == 8 and digits.isdigit() else ""


def _printable(value: bytes) -> Iterator[str]:
    for run in _RUNS.findall(value):
        if text := run.decode("ascii").strip().lower():
            yield text
