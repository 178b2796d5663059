"""Public words of medicine: they tell nobody, even where a patient is called the same or a part of one."""

from __future__ import annotations

import re
from functools import cache

from pydicom.sr.codedict import codes

_OUTLINES = """gtv ctv ptv itv prv oar roi bowel boost chiasm cochlea plexus vertebrae enhancing background"""


def is_anatomy(word: str) -> bool:
    """Tell a lower-case word of the regions imaged by CT, MR and PET, or two in one (PS3.16 Annex L).

    >>> [is_anatomy(word) for word in ("liver", "headneck", "brown")]
    [True, True, False]
    """
    parts = ({word[:cut], word[cut:]} for cut in range(3, len(word) - 2))
    return word in _words() or any(pair <= _words() for pair in parts)


def is_public(word: str) -> bool:
    """Tell a lower-case word of SNOMED CT or DICOM, or a usual name of an outline.

    Such a word may be a name, too (Rose, Brown): what matters is that a name *inside* it is none.

    >>> [is_public(word) for word in ("primary", "kidney", "ptv", "johnsmith")]
    [True, True, True, False]
    """
    return word in _vocabulary() or is_anatomy(word)


@cache
def _words() -> frozenset[str]:
    """Return the words of PS3.16 CID 4030 and 4031."""
    return _words_of(*codes.cid4030.dir(), *codes.cid4031.dir())


@cache
def _vocabulary() -> frozenset[str]:
    """Return the words of the SNOMED CT and DICOM terms that DICOM uses, and what outlines are called."""
    return _words_of(*codes.SCT.dir(), *codes.DCM.dir()) | frozenset(_OUTLINES.split())


def _words_of(*terms: str) -> frozenset[str]:
    return frozenset(word.lower() for word in re.findall("[A-Z][a-z]{2,}", " ".join(terms)))
