"""Words for parts of the body: public, so they tell nobody even where a patient is called the same."""

from __future__ import annotations

import re
from functools import cache

from pydicom.sr.codedict import codes


def is_anatomy(word: str) -> bool:
    """Tell a lower-case word of the regions imaged by CT, MR and PET, or two in one (PS3.16 Annex L).

    >>> [is_anatomy(word) for word in ("liver", "headneck", "brown")]
    [True, True, False]
    """
    parts = ({word[:cut], word[cut:]} for cut in range(3, len(word) - 2))
    return word in _words() or any(pair <= _words() for pair in parts)


@cache
def _words() -> frozenset[str]:
    """Return the words of PS3.16 CID 4030 and 4031."""
    terms = [*codes.cid4030.dir(), *codes.cid4031.dir()]
    return frozenset(word.lower() for word in re.findall("[A-Z][a-z]{2,}", " ".join(terms)))
