"""SNOMED CT codes and colours of labels, as DICOM results carry them (PS3.16 CID 7150 and 7151).

A name is looked for among what CID 7151 lists for segments only: SNOMED CT also knows "anterior", "edge" and
"left", which are no structures.
"""

from __future__ import annotations

import colorsys
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from medunet.config.card import Label

# The categories of segments by the context group of their types; the first group that has a code counts.
CATEGORIES: dict[int, Code] = {
    7192: codes.SCT.AnatomicalStructure,
    7191: codes.SCT.Tissue,
    7196: codes.SCT.SpatialAndRelationalConcept,
    7194: codes.SCT.MorphologicallyAbnormalStructure,
    7193: codes.SCT.PhysicalObject,
    7195: codes.SCT.Function,
    7197: codes.SCT.BodySubstance,
    7198: codes.SCT.Substance,
}
GOLDEN = 0.6180339887  # of the colour circle from one label to the next: neighbours are never alike
_FILLERS = {"of", "the", "structure", "and", "gland", "tissue"}
_SYNONYMS = {
    "tumor": "neoplasm", "tumour": "neoplasm", "oedema": "edema", "haemorrhage": "hemorrhage",
    "oesophagus": "esophagus", "grey": "gray", "bowel": "intestine", "vertebrae": "vertebra",
    "clavicula": "clavicle", "fat": "adipose",
}  # fmt: skip
# The lists mean those of a room, the one of the heart, and tissue; a mask often means others.
_OTHERWISE = {"Wall", "Walls", "Floor", "Ventricle", "BodyTissueStructure"}
_SIDES = {"left": codes.SCT.Left, "right": codes.SCT.Right, "bilateral": codes.SCT.RightAndLeft}
SIDE_WORDS = frozenset(_SIDES)


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
    rgb, words = _colour(value), _words_of(label)
    side = next((_SIDES[word] for word in sorted(words & SIDE_WORDS)), None)
    if label.snomed:
        code = _by_value().get(label.snomed) or Code(label.snomed, "SCT", label.name[:64])
        side = None if _says_side(code) else side
        if category := _categories().get(code.value):
            return Coding(category, code, side, rgb)
        told = (
            f"label {label.name}: DICOM lists no segments of code {code.value} (PS3.16 CID 7151), so it is "
            "called an anatomical structure"
        )
        return Coding(codes.SCT.AnatomicalStructure, code, side, rgb, told)
    if whole := _named(words):
        return Coding(_categories()[whole.value], whole, None, rgb)
    if found := _named(words - SIDE_WORDS):
        return Coding(_categories()[found.value], found, side, rgb)
    told = (
        f"label {label.name}: DICOM lists no segments of this name (PS3.16 CID 7151), so it is coded as "
        "Tissue; give the card a `snomed:` code"
    )
    return Coding(codes.SCT.Tissue, codes.SCT.Tissue, side, rgb, told)


def warnings_of(labels: Mapping[int, Label]) -> tuple[str, ...]:
    """Return what is to be told of the codes of labels."""
    return tuple(told for value, label in labels.items() if (told := coding_of(value, label).warning))


def _words_of(label: Label) -> frozenset[str]:
    found = re.findall(r"[a-z]+|\d+", label.name.lower())
    return frozenset(_SYNONYMS.get(word, word) for word in found) - _FILLERS


def _says_side(code: Code) -> bool:
    return not SIDE_WORDS.isdisjoint(code.meaning.lower().split())


def _named(words: frozenset[str]) -> Code | None:
    """Return the concept with these words in any order: lung_upper_lobe is the upper lobe of lung."""
    return _by_words().get(words) or _by_words().get(frozenset(word.removesuffix("s") for word in words))


@cache
def _concepts() -> list[tuple[str, Code, frozenset[int]]]:
    """Return pydicom's dictionary: keywords, codes, context groups; the shortest name of each code last."""
    from pydicom.sr._concepts_dict import concepts  # the public `codes` knows neither values nor contexts

    scheme: Any = concepts["SCT"]
    found = [
        (keyword, Code(value, "SCT", meaning[:64]), frozenset(contexts))
        for keyword, codings in scheme.items()
        for value, (meaning, contexts) in codings.items()
    ]
    return sorted(found, key=lambda entry: (-len(entry[0]), entry[0]))


@cache
def _categories() -> dict[str, Code]:
    """Return the category of every code of CID 7151; of its several names, one may be listed."""
    groups: dict[str, set[int]] = defaultdict(set)
    for _, code, contexts in _concepts():
        groups[code.value] |= contexts
    return {
        value: next(CATEGORIES[group] for group in CATEGORIES if group in found)
        for value, found in groups.items()
        if found & CATEGORIES.keys()
    }


@cache
def _by_words() -> dict[frozenset[str], Code]:
    return {
        words: code
        for keyword, code, _ in _concepts()
        if code.value in _categories() and keyword not in _OTHERWISE and (words := _words(keyword))
    }


@cache
def _by_value() -> dict[str, Code]:
    return {code.value: code for _, code, _ in _concepts()}


def _words(keyword: str) -> frozenset[str]:
    """Return the words of a keyword such as UpperLobeOfLung, without those that carry no meaning."""
    return (
        frozenset(word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", keyword))
        - _FILLERS
    )


def _colour(value: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(value * GOLDEN % 1.0, 0.7, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)
