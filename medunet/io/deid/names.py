"""Who is named in a text that is kept: persons and numbers of the original, however they are written.

For the cleaner only. The verifier has rules of its own (needles.py); these are meant to be stricter, so that
what it would find is taken out before it looks.

In a label that people type, a name of four letters counts inside other words too. In an attribute about the
machine a name needs six, or stands alone, or every other maker and sequence would be somebody. The one thing
that is no name is a part of a longer public word: Mary is not in `primary`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import permutations

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from medunet.io.deid.anatomy import is_anatomy, is_public


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


IDS = frozenset({"PatientID", "OtherPatientIDs", "AccessionNumber"})  # their words may be names
NUMBERS = IDS | _set(
    """AdmissionID ServiceEpisodeID MedicalRecordLocator PatientBirthDate PatientAddress PersonAddress
    PatientTelephoneNumbers PersonTelephoneNumbers InsurancePlanIdentification ReferringPhysicianAddress
    ReferringPhysicianTelephoneNumbers MilitaryRank IssuerOfPatientID RequestingService
    PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest"""
)
IN_LABELS, IN_MACHINES = 4, 6  # letters from which a name counts inside other words
SHORTEST, SHORTEST_OWN = 3, 2  # letters of a name that stands alone; of the patient's own
LONG_NUMBER = 5  # digits that stand for a whole number
MOST_WORDS = 12  # of one name that are paired: a value may be a book
_NOBODY = _set(
    "and the not none null unknown removed anonymous anonymized anonymised anon patient phantom test"
)
_NOBODYS = re.compile(rf"(?<!\w)({'|'.join(sorted(_NOBODY))})(?!\w)", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_LETTERS = re.compile(r"[^\W\d_]+")
_HUMPS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # GTVXu: GTV, Xu
_APOSTROPHES = re.compile("['`\u00b4\u2018\u2019\u02bc]")
_STROKES = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "\u0131": "i"}
)
_SPELT_OUT = str.maketrans(
    {letter: unicodedata.normalize("NFD", letter)[0] + "e" for letter in "äöüÄÖÜ"}
    | {"ø": "oe", "å": "aa", "Ø": "Oe", "Å": "Aa"}
)


class Names:
    """The names and numbers of a data set, at every depth."""

    def __init__(self, dataset: Dataset) -> None:
        """Gather them from every name of a person and every number that stands for one."""
        self.words: set[str] = set()  # single words of names
        self.full: set[str] = set()  # two words of one name, in both orders, with and without a space
        self.numbers: set[str] = set()  # letters and digits only
        self.signed: set[str] = set()  # numbers with the signs between, such as 1.2.3
        self._known: dict[tuple[str, bool], bool] = {}
        for element in dataset.iterall():
            if element.VR == "PN":
                for value in _values(element):
                    self._add_person(value, shortest=SHORTEST_OWN if element.tag.group == 0x10 else SHORTEST)
            elif element.keyword in NUMBERS:
                for value in _values(element):
                    self._add_number(value, with_words=element.keyword in IDS)
        self._all = self.words | self.full | self.numbers
        self.words = {word for word in self.words if not is_anatomy(word)}

    def stand_in(self, text: str, *, typed: bool) -> bool:
        """Tell whether a text names someone; `typed` is a label that people write freely."""
        if (text, typed) not in self._known:
            humps = {_folded(word) for word in _HUMPS.findall(text)}
            self._known[text, typed] = any(self._found(one, humps, typed) for one in _spellings(text))
        return self._known[text, typed]

    def is_number(self, text: str) -> bool:
        """Tell whether a numeric value is a number of the patient."""
        return len(text) >= IN_MACHINES and text in self.numbers

    def _add_person(self, value: str, *, shortest: int) -> None:
        for alphabet in value.split("="):
            forms = (alphabet, _APOSTROPHES.sub("", alphabet))
            somebody = (_NOBODYS.sub(" ", unicodedata.normalize("NFC", form)) for form in forms)
            for spelling in _spellings(*somebody):  # with its accents, Thế is not the word `the`
                words = (word for word in _WORD.findall(spelling) if word.isalpha())
                self.words.update(word for word in words if _is_long(word, shortest))
            for spelling in _spellings(*forms):
                plain = [word for word in _WORD.findall(spelling) if word.isalpha()]
                pairs = permutations([w for w in plain if len(w) >= 2 or _is_dense(w)][:MOST_WORDS], 2)
                self.full.update(form for a, b in pairs for form in (a + b, f"{a} {b}"))
            if any(letter.isdigit() for letter in alphabet):  # a code in place of a name
                self._add_number(alphabet, with_words=False)

    def _add_number(self, value: str, *, with_words: bool) -> None:
        tokens = _WORD.findall(_folded(value))
        if len(tokens) == 1 and is_anatomy(tokens[0]):
            return
        if len(tokens) > 1:
            self.signed.add(_folded(value).strip(" \0"))
        whole = "".join(tokens)
        numbers = {whole, whole.lstrip("0"), *re.findall(rf"\d{{{LONG_NUMBER},}}", whole)}
        numbers |= {token for token in tokens if not token.isalpha() and not token.isdigit()}
        self.numbers.update(number for number in numbers if len(number) >= SHORTEST)
        if with_words:
            letters = {token for token in tokens if token.isalpha() and _is_long(token, SHORTEST)}
            self.words |= {word for word in letters - _NOBODY if not is_public(word)}

    def _found(self, text: str, humps: set[str], typed: bool) -> bool:
        """Tell whether someone is named in a folded text."""
        plain = _LETTERS.sub(self._without_public, text)
        runs = re.findall(r"[^\W\d_]+|\|", plain)
        alone = {*runs, *humps, *_WORD.findall(plain)}
        spaced, joined = f" {' '.join(runs)} ", "".join(runs)
        inside = IN_LABELS if typed else IN_MACHINES
        for needle in self.words | self.full:
            letters = len(needle.replace(" ", ""))
            if _is_dense(needle):
                found = needle in joined or needle in spaced
            elif letters >= (inside if needle.isascii() else SHORTEST):  # six bytes: the verifier's measure
                found = needle in spaced
            else:  # two letters tell nobody among the words of a machine
                found = (typed or letters >= SHORTEST) and (needle in alone or f" {needle} " in spaced)
            if found:
                return True
        if any(_has_number(plain, number, typed) for number in self.numbers):
            return True
        return any(re.search(rf"(?<!\w){re.escape(number)}(?!\w)", text) for number in self.signed)

    def _without_public(self, match: re.Match[str]) -> str:
        """Return a bar in place of a public word, its plural or side, unless it is the name: Rose, Roses."""
        word, stem = match[0], match[0][:-1]
        if word in self._all:
            return word
        return "|" if is_public(word) or (is_public(stem) and stem not in self._all) else word


def _has_number(text: str, number: str, typed: bool) -> bool:
    """Tell whether a number is in a text, with whatever between its letters and digits."""
    digits, long = number.isdigit(), len(number) >= (IN_LABELS if typed else IN_MACHINES)
    if digits and not long:
        return False
    if long and (typed or not digits):
        return number in re.sub(r"[^\w|]|_", "", text)
    edge = r"\d" if digits else r"[^\W_]"
    spaced = r"[\W_]*".join(number)
    return re.search(rf"(?<!{edge}){spaced}(?!{edge})", text) is not None


def _is_long(word: str, shortest: int) -> bool:
    """Tell whether a word is long enough to be searched for; one ideograph may be a whole family name."""
    enough = 1 if word[0] >= "\u1100" else SHORTEST_OWN if _is_dense(word) else shortest
    return len(word) >= enough


def _is_dense(text: str) -> bool:
    """Tell a word in a script without spaces or with few letters a word, from Devanagari to Hangul."""
    return re.search("[\u0900-\u1cff\u2e80-\U0010ffff]", text) is not None


def _values(element: DataElement) -> Iterator[str]:
    if not element.is_empty:
        yield from (str(value) for value in (element.value if element.VM > 1 else [element.value]))


def _spellings(*texts: str) -> set[str]:
    """Return texts folded: accents left out, and spelt out as in Mueller."""
    composed = [unicodedata.normalize("NFC", text) for text in texts]
    return {_folded(one) for text in composed for one in (text, text.translate(_SPELT_OUT))}


def _folded(text: str) -> str:
    """Return a text without case, accents, width and marks that nobody sees."""
    parts = unicodedata.normalize("NFKD", text)
    bare = "".join(letter for letter in parts if unicodedata.category(letter) not in ("Mn", "Mc", "Me", "Cf"))
    return unicodedata.normalize("NFC", bare.casefold()).translate(_STROKES)
