"""Read a cleaned file again and look for every identifying string of its original, apart from the cleaner.

The rule that keeps short and common words from false alarms:
- A string of less than 6 characters must stand alone as a word in a text. Longer ones are found inside other
  words too (digits only alone), in every value and in the raw bytes of the whole file, whatever the case.
- In a label that people type, 4 characters of a name or of the patient's number are found inside other words,
  accents or none. Chinese, Japanese, Korean, Thai and Indic names are found inside others in every attribute.
- Names of persons and their numbers count everywhere. The one exception is a name that is also a part of
  the body, in a code or label: a patient called Brain does not forbid BodyPartExamined BRAIN.
- A part of a longer public word of medicine is no name in a technical attribute: Mary is not in `primary`.
- Two words of one name side by side, run together or turned round, have only this last exception.
- Descriptions and comments, single names of two letters and numbers of less than 6 digits (in a label: 4) do
  not count where an attribute describes the machine, a code or a label.
- Dates count where the same attribute had them. Elsewhere a moved date may meet another one by chance.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from pydicom.charset import python_encoding
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from medunet.io.deid import needles
from medunet.io.deid.anatomy import is_anatomy
from medunet.io.deid.needles import (
    OF_THE_MACHINE,
    TEXT,
    TYPED,
    Needles,
    folded,
    is_dense,
    lowered,
    needles_of,
    values_of,
    walk,
)
from medunet.io.dicom.file import read_dataset

ALONE = 6  # shorter strings must stand alone
OURS = frozenset({0x00120062, 0x00120063, 0x00120064})  # what the cleaner writes about itself
_NEVER = re.compile("PatientBirthDate|Private.*|.*ApplicationEntityTitle|.*PresentationAddress")
_FORMAL = frozenset({"CS", "AS", "IS", "DS", "TM", "UI"})  # values that cannot be sentences
_TEXTUAL = TEXT | _FORMAL | {"PN", "UN"}
_WORDED = TEXT | {"CS", "PN", "UN"}
_UIDS = re.compile(r"[0-9]+(?:\.[0-9]+){2,}")
_DAYS = re.compile(r"(?<![0-9.])(?:1[89]|20)[0-9]{6}")
_ESCAPES = re.compile(rb"\x1b[$(]+[@-z]")  # between the character sets of ISO 2022
_RUNS = re.compile(rb"[ -~]{%d,}" % ALONE)
_LETTERS_OR_BAR = re.compile(r"[^\W\d_]+|\|")
_BETWEEN = " ^_-,"  # what stands between the two words of a name


def survivors(
    original: Path, cleaned: Path, kept_private: Collection[tuple[str, int, int]] = ()
) -> list[str]:
    """Return what of the original's identity is still in the cleaned file, in words without values.

    kept_private: (creator, group, last two digits of the element) that may stay.
    """
    wanted = needles_of(read_dataset(original))
    wanted.texts -= {creator.lower() for creator, _, _ in kept_private}
    dataset = read_dataset(cleaned)
    excused: set[str] = set()
    found = [*_forbidden(dataset, kept_private), *_in_elements(dataset, wanted, excused)]
    found += _in_bytes(cleaned.read_bytes().lower(), dataset, wanted, excused)
    return list(dict.fromkeys(found))


def _forbidden(dataset: Dataset, kept_private: Collection[tuple[str, int, int]]) -> Iterator[str]:
    """Yield what must not be there, whatever it holds."""
    if any(dataset.preamble or b""):
        yield "bytes in the preamble"
    if dataset.get("PatientIdentityRemoved") != "YES":
        yield "no word that the identity was removed"
    for _, element in walk(dataset):
        group = element.tag.group
        if group & 0xFF00 in (0x5000, 0x6000):
            yield "an overlay or curve"
        elif group >= 0xFFFA:
            yield "padding after the data set"
        elif element.tag.is_private and not _is_kept(element, kept_private):
            yield "a private attribute"
        elif _NEVER.fullmatch(element.keyword) and not element.is_empty:
            yield f"a value in {element.keyword}"


def _is_kept(element: DataElement, kept: Collection[tuple[str, int, int]]) -> bool:
    tag = element.tag
    if tag.is_private_creator:
        return any((str(element.value), tag.group) == (creator, group) for creator, group, _ in kept)
    return any(
        (tag.group, tag.element & 0xFF) == (group, last) and element.private_creator == creator
        for creator, group, last in kept
    )


def _in_elements(dataset: Dataset, wanted: Needles, excused: set[str]) -> Iterator[str]:
    """Yield what is found in values; `excused` gathers the strings that may stand where they were found."""
    texts: dict[tuple[str, str], set[str]] = defaultdict(set)  # by attribute and value representation
    for path, element in walk(dataset):
        values = values_of(element)
        if OURS & set(path):
            own = " ".join(values).lower()
            excused |= {needle for needle in wanted.names | wanted.texts | wanted.full if needle in own}
        elif element.VR == "UI" and wanted.uids & set(values):
            yield f"a UID in {_name(element)}"
        elif element.VR in ("DA", "DT"):
            days = {needles.day_of(value) for value in values} - {""}
            if days & wanted.dates.get(path, set()):
                yield f"a date in {_name(element)}"
            excused |= days
        elif element.VR in _TEXTUAL:
            texts[_name(element), element.VR].update(map(lowered, values))
    for (name, vr), found in texts.items():
        yield from _in_texts(name, vr, found, wanted, excused)


def _in_texts(name: str, vr: str, values: set[str], wanted: Needles, excused: set[str]) -> Iterator[str]:
    joined = "\n".join(values)
    technical = name in OF_THE_MACHINE or vr in _FORMAL
    shown = {wanted.without_public_words(value) for value in values} if technical else values
    kinds = {"a name or number of a person": wanted.names, "a text": wanted.texts | wanted.runs}
    for kind, group in kinds.items():
        for needle in group:
            if needle in joined and any(_holds(value, needle, vr) for value in values):
                if technical and (
                    _may_stand(needle, name, vr, personal=group is wanted.names)
                    or not any(_holds(value, needle, vr) for value in shown)
                ):
                    excused.add(needle)
                else:
                    yield f"{kind} in {name}"
    days = set().union(*wanted.dates.values()) if wanted.dates else set()
    if vr not in _FORMAL and days & set(re.findall(r"(?<!\d)\d{8}(?!\d)", joined)):
        yield f"a date in {name}"
    if vr in _WORDED and any(_hides_a_name(name, value, wanted, excused) for value in values):
        yield f"a name or number of a person in {name}"


def _hides_a_name(name: str, value: str, wanted: Needles, excused: set[str]) -> bool:
    """Tell what a search for single words misses: full names, and what stands inside the words of a label."""
    text = folded(value)
    plain = wanted.without_public_words(text)
    before, after = _letters(text), _letters(plain)
    typed = name in TYPED
    excused |= {form for form in wanted.full if form in before and form not in after}
    if any(_holds_full(after, form, anywhere=typed) for form in wanted.full):
        return True
    numbers = "".join(re.findall(r"[^\W_]+|\|", plain))
    inside = any(word in after for word in wanted.inside) or any(number in numbers for number in wanted.ids)
    return typed and inside


def _holds_full(letters: str, form: str, *, anywhere: bool) -> bool:
    anywhere = anywhere or is_dense(form) or len(form.replace(" ", "")) >= ALONE
    return (form if anywhere else f" {form} ") in letters


def _letters(text: str) -> str:
    """Return the words of a text with one space before and after each, digits and signs left out."""
    return f" {' '.join(_LETTERS_OR_BAR.findall(text))} "


def _holds(value: str, needle: str, vr: str) -> bool:
    if vr in ("IS", "DS", "UI"):
        return value == needle and len(needle) >= ALONE
    if (len(needle) < ALONE or needle.isdigit()) and not is_dense(needle):
        return re.search(rf"(?<!\w){re.escape(needle)}(?!\w)", value) is not None
    return needle in value


def _may_stand(needle: str, name: str, vr: str, *, personal: bool) -> bool:
    """Tell whether a string found in a technical attribute says nothing about the patient."""
    common = (len(needle) < 3 and not is_dense(needle)) or is_anatomy(needle)
    number = needle.isdigit() and (len(needle) < ALONE or name == "CodeValue" or vr == "TM")
    return not personal or common or number


def _in_bytes(lower: bytes, dataset: Dataset, wanted: Needles, excused: set[str]) -> Iterator[str]:
    """Yield what is found in the raw bytes, pixels and padding included."""
    plain = b"\n".join(_RUNS.findall(lower)).decode("ascii")
    if wanted.uids & set(_UIDS.findall(plain)):
        yield "a UID in the raw bytes"
    days = set().union(*wanted.dates.values()) if wanted.dates else set()
    if days & set(_DAYS.findall(plain)) - excused:
        yield "a date in the raw bytes"
    full = {form.replace(" ", sign) for form in wanted.full - excused for sign in _BETWEEN}
    long = {needle for needle in (wanted.names | wanted.texts) - excused | full if len(needle) >= ALONE}
    if any(_holds(plain, needle, "") for needle in long if needle in plain):
        yield "a name, number or text in the raw bytes"
    head = plain if "PixelData" not in dataset else _plain_head(lower, len(dataset.PixelData or b""))
    if any(run in head for run in wanted.runs - excused):
        yield "a part of a binary value in the raw bytes"
    encodings = {"utf-8", *_declared(dataset)}
    names = wanted.names | wanted.texts | wanted.full
    foreign = {needle for needle in names - excused if not needle.isascii()}
    if any(form in lower for needle in foreign for form in _forms(needle, encodings)):
        yield "a name or text in the raw bytes"


def _plain_head(lower: bytes, pixel_bytes: int) -> str:
    return b"\n".join(_RUNS.findall(lower[: max(0, len(lower) - pixel_bytes)])).decode("ascii")


def _declared(dataset: Dataset) -> set[str]:
    """Return the codecs of the character sets that the file names (PS3.3 C.12.1.1.2)."""
    names = dataset.get("SpecificCharacterSet") or ()
    several = [names] if isinstance(names, str) else names
    return {python_encoding[name] for name in several if name in python_encoding}


def _forms(needle: str, encodings: set[str]) -> Iterator[bytes]:
    """Yield the bytes of a string that is not ASCII, in each case and encoding, at least `ALONE` of them."""
    for encoding in encodings:
        for text in {needle, needle.upper(), needle.title()}:
            coded = text.encode(encoding, errors="ignore").lower()
            form = max(_ESCAPES.split(coded), key=len)
            if len(form) >= ALONE:
                yield form


def _name(element: DataElement) -> str:
    return element.keyword or f"({element.tag.group:04X},{element.tag.element:04X})"
