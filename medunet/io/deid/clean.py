"""Clean a DICOM data set in place, at every depth; the verifier looks at the result without this code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from medunet.io.deid import keys
from medunet.io.deid.dates import TIME, shift_date, shift_datetime
from medunet.io.deid.names import Names
from medunet.io.deid.profile import CODES, FREE_TEXT, LABELS, Action, action_for
from medunet.io.dicom.headers import contrast_given

IMPLEMENTATION_UID = "2.25.178727430658332533418188353061426441208"  # drawn once for this program
IMPLEMENTATION_NAME = "MEDUNET_DEID"
METHOD = "medunet: PS3.15 Basic Profile, keyed UIDs, moved dates"
OLDEST_TOLD = 89  # years; older ages are told as 90, for they are rare (HIPAA safe harbour)
PROFILE_CODES = {
    "113100": "Basic Application Confidentiality Profile",
    "113105": "Clean Descriptors Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
}
CHARACTERISTICS_CODE = {"113108": "Retain Patient Characteristics Option"}
PRIVATE_CODE = {"113111": "Retain Safe Private Option"}
_FORMS = {
    "CS": re.compile(r"[A-Z0-9 _]{0,16}"),
    "DS": re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"),
    "IS": re.compile(r"\s*[+-]?\d{1,12}\s*"),
    "AS": re.compile(r"\d{3}[DWMY]"),
}
_FILLED = {
    "AS": "000Y",
    "PN": "Removed",
    "UR": "http://removed.invalid",
    "CS": "REMOVED",
    "DS": "0",
    "IS": "0",
}
_PUBLIC_SCHEMES = re.compile(  # PS3.16 8.1; a hospital's own list of codes may hold its name
    "DCM|SCT|SRT|SNM3|UCUM|LN|RADLEX|FMA|NCIt|UMLS|MSH|BI|CD8|IBSI|ICDO3|ITIS_TSN|MA|NEU|NICIP|PUBCHEM_CID"
    "|RADELEMENT|UBERON|ISO3166_1|RFC5646|I9|I9C|I10|I11"
)


@dataclass(frozen=True)
class PrivateTag:
    """A private attribute that may stay: numbers and coded words only, free text goes all the same."""

    creator: str
    group: int
    element: int  # the last two hexadecimal digits


@dataclass(frozen=True)
class Options:
    """What a project asks to keep beyond the basic profile."""

    keep_characteristics: bool = False  # sex, age, size and weight
    keep_private: tuple[PrivateTag, ...] = ()
    reviewed: frozenset[str] = frozenset()  # short names of files and series that a person has released


def identity_of(dataset: Dataset) -> str:
    """Return the PatientID or, without one, a name of the study: strangers must not become one patient."""
    patient = str(dataset.get("PatientID") or "").strip(" \0")
    return patient or f"study {dataset.get('StudyInstanceUID') or dataset.get('SOPInstanceUID') or ''}"


def clean(dataset: Dataset, key: bytes, options: Options) -> None:
    """Take the identity out of a data set and its file meta; pixels stay bit for bit."""
    patient = identity_of(dataset)
    _Cleaner(key, keys.shift_days(key, patient), options, Names(dataset)).clean(dataset)
    name = keys.pseudonym(key, patient)
    dataset.PatientID, dataset.PatientName = name, name
    dataset.PatientIdentityRemoved = "YES"
    dataset.LongitudinalTemporalInformationModified = "MODIFIED"
    dataset.DeidentificationMethod = METHOD
    codes = dict(PROFILE_CODES)
    codes |= CHARACTERISTICS_CODE if options.keep_characteristics else {}
    codes |= PRIVATE_CODE if options.keep_private else {}
    dataset.DeidentificationMethodCodeSequence = [_code(*pair) for pair in codes.items()]
    _trim_pixels(dataset)
    _clean_meta(dataset)


class _Cleaner:
    """Knows the key, the shift of the patient and the names that no label may hold."""

    def __init__(self, key: bytes, days: int, options: Options, names: Names) -> None:
        self.key, self.days, self.options, self.names = key, days, options, names

    def clean(self, dataset: Dataset) -> None:
        kept = self._kept_private(dataset)
        for tag in list(dataset.keys()):
            element = dataset[tag]
            if tag.is_private and tag in kept:
                action = Action.KEEP if tag.is_private_creator else self._private(element)
            elif tag.is_private:
                action = Action.REMOVE
            else:
                action = action_for(tag, element.VR, keep_characteristics=self.options.keep_characteristics)
            self._apply(dataset, element, action)
        _drop_local_codes(dataset)

    def _apply(self, dataset: Dataset, element: DataElement, action: Action) -> None:
        if action is Action.REMOVE:
            del dataset[element.tag]
        elif action is Action.ENTER and element.VR == "SQ":
            for item in element.value:
                self.clean(item)
        elif action is not Action.KEEP:
            element.value = self._value(element, action)

    def _value(self, element: DataElement, action: Action) -> Any:
        if element.VR == "SQ":  # the table puts a dummy here, or nothing: an empty sequence is both
            return Sequence()
        if action is Action.EMPTY or element.is_empty:
            return None
        if action is Action.FILL:
            return _filled(element)
        values = [self._one(element, action, value) for value in _values(element)]
        return values if len(values) != 1 else values[0]

    def _one(self, element: DataElement, action: Action, value: Any) -> Any:
        if action is Action.UID:
            return self._uid(str(value))
        if action is Action.SHIFT:
            return self._moved(element.VR, str(value))
        if action is Action.LABEL:
            typed = element.tag in LABELS
            return "removed" if self.names.stand_in(str(value), typed=typed) else value
        if action is Action.CHECK:
            return self._checked(element, value)
        return value

    def _checked(self, element: DataElement, value: Any) -> Any:
        """Return a value that has the form of its kind; nothing in place of text that was smuggled in."""
        form = _FORMS.get(element.VR)
        if form is None:
            return value
        text = str(value).upper() if element.VR == "CS" else str(value)
        if not form.fullmatch(text) or (element.VR in ("IS", "DS") and self.names.is_number(text.strip())):
            return ""
        if element.VR == "CS" and not _is_structural(element) and self.names.stand_in(text, typed=False):
            return "REMOVED"
        if element.VR == "CS":
            return text
        if element.VR == "AS" and text[3] == "Y" and int(text[:3]) > OLDEST_TOLD:
            return f"{OLDEST_TOLD + 1:03d}Y"
        return value

    def _uid(self, uid: str) -> str:
        return uid if not uid or UID(uid).name != uid else keys.new_uid(self.key, uid)

    def _moved(self, vr: str, text: str) -> str:
        if vr == "TM":
            return text if TIME.fullmatch(text.strip()) else ""
        return shift_date(text, self.days) if vr == "DA" else shift_datetime(text, self.days)

    def _private(self, element: DataElement) -> Action:
        textual = element.VR in FREE_TEXT or element.VR in ("UN", "SQ", "UI", "DA", "DT")
        return Action.REMOVE if textual else Action.CHECK

    def _kept_private(self, dataset: Dataset) -> set[int]:
        kept: set[int] = set()
        for wanted in self.options.keep_private:
            if wanted.creator not in dataset.private_creators(wanted.group):
                continue
            block = dataset.private_block(wanted.group, wanted.creator)
            tag = block.get_tag(wanted.element)
            if tag in dataset:
                kept |= {tag, dataset[wanted.group, block.block_start >> 8].tag}
        return kept


def _values(element: DataElement) -> Iterable[Any]:
    return element.value if element.VM > 1 else [element.value]


def _filled(element: DataElement) -> Any:
    if element.keyword == "ContrastBolusAgent":  # whether contrast was given must stay true
        return "GIVEN" if contrast_given(element.value) else "NONE"
    if element.VR in ("FD", "FL", "SS", "US", "SL", "UL", "SV", "UV"):
        return 0
    return b"\0\0" if element.VR.startswith("O") else _FILLED.get(element.VR, "removed")


def _is_structural(element: DataElement) -> bool:
    """Tell a coded word without which the file cannot be read."""
    return element.tag.group == 0x0028 or element.keyword in ("SpecificCharacterSet", "Modality")


def _drop_local_codes(dataset: Dataset) -> None:
    """Take the words out of a code that is not of a public scheme, and what names the scheme."""
    scheme = str(dataset.get("CodingSchemeDesignator") or "")
    entry = CODES & set(dataset.keys())
    if _PUBLIC_SCHEMES.fullmatch(scheme) or not (scheme or entry):
        return
    for tag in entry:
        dataset[tag].value = "removed"
    dataset.CodingSchemeDesignator = "99REMOVED"
    for word in ("CodingSchemeUID", "CodingSchemeVersion", "ContextUID"):
        dataset.pop(word, None)


def _trim_pixels(dataset: Dataset) -> None:
    """Cut what follows the pixels that the header declares: padding can hold anything."""
    pixels = dataset.get("PixelData")
    if pixels is None or dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    bits = int(dataset.BitsAllocated) * int(dataset.get("SamplesPerPixel") or 1)
    bits *= int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("NumberOfFrames") or 1)
    count = (bits + 7) // 8
    if len(pixels) > count:
        dataset["PixelData"].value = pixels[:count] + b"\0" * (count % 2)


def _clean_meta(dataset: Dataset) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_NAME
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
