"""SNOMED CT codes and colours of labels, as DICOM results carry them (PS3.16 CID 7150 and 7151)."""

from __future__ import annotations

import colorsys
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from medunet.config.card import Label

ABNORMAL_CONTEXTS = {7159, 7194}  # lesions and abnormal structures, PS3.16
GOLDEN = 0.6180339887  # of the colour circle from one label to the next: neighbours are never alike
_FILLERS = {"of", "the", "structure", "and"}
_SYNONYMS = {"tumor": "neoplasm", "tumour": "neoplasm", "oedema": "edema"}
_SIDES = {"left": codes.SCT.Left, "right": codes.SCT.Right, "bilateral": codes.SCT.RightAndLeft}
SIDE_WORDS = frozenset(_SIDES)

Concept = tuple[Code, frozenset[int]]  # with the context groups that it is in


@dataclass(frozen=True)
class Coding:
    """What a label means and looks like."""

    category: Code
    type: Code
    side: Code | None
    rgb: tuple[int, int, int]
    warning: str = ""


def coding_of(value: int, label: Label) -> Coding:
    """Return the codes of a label: its `snomed`, else the concept of its name, else Tissue with a warning."""
    words = (
        frozenset(_SYNONYMS.get(word, word) for word in re.findall(r"[a-z0-9]+", label.name.lower()))
        - _FILLERS
    )
    rgb = _colour(value)
    side = next((_SIDES[word] for word in sorted(words & SIDE_WORDS)), None)
    if label.snomed:
        code, contexts = _by_value().get(label.snomed) or (
            Code(label.snomed, "SCT", label.name[:64]),
            frozenset(),
        )
        return Coding(_category(contexts), code, None if _says_side(code) else side, rgb)
    if whole := _named(words):
        return Coding(_category(whole[1]), whole[0], None, rgb)
    if found := _named(words - SIDE_WORDS):
        return Coding(_category(found[1]), found[0], side, rgb)
    told = (
        f"label {label.name}: no SNOMED CT concept of this name is known, so it is coded as Tissue; "
        "give the card a `snomed:` code"
    )
    return Coding(codes.SCT.Tissue, codes.SCT.Tissue, side, rgb, told)


def _says_side(code: Code) -> bool:
    return not SIDE_WORDS.isdisjoint(code.meaning.lower().split())


def _named(words: frozenset[str]) -> Concept | None:
    """Return the concept with these words in any order: lung_upper_lobe is the upper lobe of lung."""
    return _by_words().get(words) or _by_words().get(frozenset(word.removesuffix("s") for word in words))


def _category(contexts: frozenset[int]) -> Code:
    abnormal = contexts & ABNORMAL_CONTEXTS
    return codes.SCT.MorphologicallyAbnormalStructure if abnormal else codes.SCT.AnatomicalStructure


@cache
def _concepts() -> list[tuple[str, Concept]]:
    """Return pydicom's dictionary as keywords and concepts, the shortest name of each concept last."""
    from pydicom.sr._concepts_dict import concepts  # the public `codes` knows neither values nor contexts

    scheme: Any = concepts["SCT"]
    found = [
        (keyword, (Code(value, "SCT", meaning[:64]), frozenset(contexts)))
        for keyword, codings in scheme.items()
        for value, (meaning, contexts) in codings.items()
    ]
    return sorted(found, key=lambda pair: (-len(pair[0]), pair[0]))


@cache
def _by_words() -> dict[frozenset[str], Concept]:
    return {_words(keyword): concept for keyword, concept in _concepts()}


@cache
def _by_value() -> dict[str, Concept]:
    return {concept[0].value: concept for _, concept in _concepts()}


def _words(keyword: str) -> frozenset[str]:
    """Return the words of a keyword such as UpperLobeOfLung, without those that carry no meaning."""
    return (
        frozenset(word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", keyword))
        - _FILLERS
    )


def _colour(value: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(value * GOLDEN % 1.0, 0.7, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)
