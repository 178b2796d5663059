"""From images to single volumes: by series, then by grid, then by what tells repeats apart.

A series may hold several volumes: a localizer, two orientations, echoes, b-values, time points, projections.
Each becomes one `Part`. Whether a part is whole and regular is proved later, in `dicom_geometry`.
"""

from __future__ import annotations

import filecmp
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from medunet.errors import DataError
from medunet.io.dicom.geometry import position_groups
from medunet.io.dicom.headers import Slice, close
from medunet.io.dicom.marks import ORDINAL, Marks, marks_of
from medunet.io.dicom.pixels import Decoder

COSINE = 1e-3  # between directions of one grid
PARALLEL = 0.999  # cosine between normals
SPACING_SHARE = 1e-3
LOCALIZER = "localizer"


@dataclass(frozen=True)
class Part:
    """Images that should form one volume."""

    slices: tuple[Slice, ...]
    name: str = ""  # what tells it from the other parts of its series, such as b1000
    said: tuple[str, ...] = ()  # what was done to get it, in words for the user

    @property
    def is_localizer(self) -> bool:
        """Whether the images say that they only serve for planning."""
        return all("LOCALIZER" in plane.image_type for plane in self.slices)


def split(slices: Iterable[Slice]) -> list[list[Part]]:
    """Return the parts of every series, the largest first.

    A series is one of a study and a patient. Files that name none are taken as one within their folder only.
    """
    series: dict[tuple[Any, ...], list[Slice]] = defaultdict(list)
    for plane in slices:
        series[plane.patient, plane.study, plane.series or plane.path.parent].append(plane)
    return [_parts(planes) for planes in series.values()]


def _parts(planes: Sequence[Slice]) -> list[Part]:
    grids = _grids([plane for plane in planes if plane.position_mm is not None])
    found = list(_projections([plane for plane in planes if plane.position_mm is None]))
    for name, group in grids:
        repeats = list(_by_repeats(_without_same_files(group)))
        found += [
            Part(tuple(members), "_".join(filter(None, (name if len(grids) > 1 else "", mark))), said)
            for mark, members, said in repeats
        ]
    return sorted(found, key=lambda part: (part.is_localizer, -len(part.slices)))


def _projections(planes: Sequence[Slice]) -> Iterator[Part]:
    """Yield each picture without a place in the body as an image of its own, under its number."""
    kept, said = _without_same_files(planes)
    kept = sorted(kept, key=lambda plane: (plane.instance_number or 0, plane.sop))
    numbers = [plane.instance_number for plane in kept]
    unlike = None not in numbers and len(set(numbers)) == len(numbers)
    for number, plane in zip(numbers if unlike else itertools.count(1), kept, strict=False):
        yield Part((plane,), f"projection{number}" if len(kept) > 1 else "", tuple(said))


def _grids(planes: Sequence[Slice]) -> list[tuple[str, list[Slice]]]:
    """Return images of one orientation, pixel spacing, matrix and frame of reference, each group named."""
    groups: list[list[Slice]] = []
    for plane in planes:
        home = next((group for group in groups if _alike(group[0], plane)), None)
        if home is None:
            groups.append([plane])
        else:
            home.append(plane)
    groups = _rejoined(groups)
    names = _told_apart([_direction(group[0]) for group in groups])
    return list(zip(names, groups, strict=True))


def _rejoined(groups: list[list[Slice]]) -> list[list[Slice]]:
    """Put images back that lie between or beyond the others of a parallel stack: they are slices of it.

    Such a stack is refused later, with the reason; without them it would look whole.
    """
    groups = sorted(groups, key=len, reverse=True)
    kept: list[list[Slice]] = []
    for group in groups:
        home = next((other for other in kept if _fills_gaps_of(other, group)), None)
        if home is None:
            kept.append(group)
        else:
            home += group
    return kept


def _fills_gaps_of(stack: Sequence[Slice], group: Sequence[Slice]) -> bool:
    a, b = stack[0], group[0]
    planning = "LOCALIZER" in b.image_type and "LOCALIZER" not in a.image_type
    elsewhere = a.place and b.place and a.place != b.place
    if planning or elsewhere:
        return False
    if abs(float(a.normal @ b.normal)) < PARALLEL or len(stack) < 2:
        return False
    heights = np.sort([float(a.normal @ plane.origin) for plane in stack])
    gap = float(np.median(np.diff(heights)))
    own = [float(a.normal @ plane.origin) for plane in group]
    return all(np.abs(heights - height).min() > gap / 2 for height in own)


def _alike(a: Slice, b: Slice) -> bool:
    kinds = ("rows", "columns", "place", "modality")
    return (
        all(getattr(a, kind) == getattr(b, kind) for kind in kinds)
        and ("LOCALIZER" in a.image_type) == ("LOCALIZER" in b.image_type)
        and close(a.spacing_mm, b.spacing_mm, rtol=SPACING_SHARE, atol=0)
        and close(a.orientation, b.orientation, rtol=0, atol=COSINE)
    )


def _direction(plane: Slice) -> str:
    """Return the plane of an image in words (DICOM PS3.3 C.7.6.2.1.1)."""
    if "LOCALIZER" in plane.image_type:
        return LOCALIZER
    return ("sagittal", "coronal", "axial")[int(np.abs(plane.normal).argmax())]


def _told_apart(names: Sequence[str]) -> list[str]:
    total = Counter(names)
    count: Counter[str] = Counter()
    told = []
    for name in names:
        count[name] += 1
        told.append(name if total[name] == 1 else f"{name}-{count[name]}")
    return told


def _without_same_files(planes: Sequence[Slice]) -> tuple[list[Slice], list[str]]:
    """Drop a file that is there twice: equal bytes are the same image, whatever it is called."""
    kept: dict[tuple[Any, ...], Slice] = {}
    dropped = 0
    for plane in planes:
        key = (plane.sop or plane.path, plane.frame, plane.position_mm, plane.path.stat().st_size)
        first = kept.setdefault(key, plane)
        if first is plane:
            continue
        if first.path == plane.path or filecmp.cmp(first.path, plane.path, shallow=False):
            dropped += 1
        else:
            kept[(*key, plane.path)] = plane
    return list(kept.values()), [f"{dropped} copies of files are left out"] * bool(dropped)


def _by_repeats(
    group: tuple[list[Slice], list[str]],
) -> Iterator[tuple[str, list[Slice], tuple[str, ...]]]:
    """Yield name, images and remarks of each volume of one grid."""
    planes, said = group
    places = position_groups(planes)
    fold = max(len(same) for same in places)
    # all in one place is no stack, whatever their headers say: a broken export, or a film of one slice
    if fold == 1 or len(places) == 1:
        yield "", planes, tuple(said)
        return
    marks = marks_of(planes)
    for names in _candidates(marks):
        parts = _separated(marks, names, fold)
        if parts is not None:
            for number, (values, members) in enumerate(parts.items(), 1):
                name = "-".join(_word(n, v, number) for n, v in zip(names, values, strict=True))
                told = f"{fold} images at each position: told apart by {' and '.join(names)}, this is {name}"
                yield name, members, (*said, told)
            return
    yield "", planes, tuple(said)


def _candidates(marks: dict[Slice, Marks]) -> Iterator[tuple[str, ...]]:
    """Yield names of marks that differ between images: single ones, then pairs, then the image numbers."""
    values: dict[str, set[Any]] = defaultdict(set)
    for own in marks.values():
        for name, value in own:
            values[name].add(value)
    names = [name for name, found in values.items() if len(found) > 1]
    yield from ((name,) for name in names)
    yield from itertools.combinations(names, 2)
    yield ("number",)


def _separated(
    marks: dict[Slice, Marks], names: Sequence[str], fold: int
) -> dict[tuple[Any, ...], list[Slice]] | None:
    """Return the images by the values of the marks, if every value holds each position once at most.

    As many groups as there are images at a position: a mark that differs from slice to slice is none.
    """
    if names == ("number",):
        return _by_number(list(marks), fold)
    groups: dict[tuple[Any, ...], list[Slice]] = defaultdict(list)
    for plane, own in marks.items():
        known = dict(own)
        groups[tuple(known.get(name, "") for name in names)].append(plane)
    if len(groups) != fold or any(len(same) > 1 for g in groups.values() for same in position_groups(g)):
        return None
    return dict(sorted(groups.items(), key=lambda item: [str(type(v)) for v in item[0]] + [item[0]]))


def _by_number(planes: Sequence[Slice], fold: int) -> dict[tuple[Any, ...], list[Slice]] | None:
    """Return volumes by InstanceNumber: one after the other, or in turns; only where all are complete."""
    numbers = {plane.instance_number for plane in planes}
    if len(planes) % fold or None in numbers or len(numbers) < len(planes) or _are_copies(planes):
        return None
    ordered = sorted(planes, key=lambda plane: plane.instance_number or 0)
    length = len(planes) // fold
    for parts in (
        [ordered[k * length : (k + 1) * length] for k in range(fold)],
        [ordered[k::fold] for k in range(fold)],
    ):
        if all(len(position_groups(part)) == length for part in parts):
            return {(k,): part for k, part in enumerate(parts, 1)}
    return None


def _are_copies(planes: Sequence[Slice]) -> bool:
    """Say whether the images at one position have the same pixels."""
    decoder = Decoder()
    sums = (sha256(decoder.values(plane).data).digest() for plane in max(position_groups(planes), key=len))
    try:
        first = next(sums)
        return all(other == first for other in sums)  # one picture in memory at a time
    except DataError:
        return True  # reading will say what is wrong


def _word(name: str, value: Any, number: int) -> str:
    """Return a mark and its value for a file name: b1000; dates and texts only by their number.

    >>> _word("b", 1000.0, 3), _word("acquired", "20200101", 2)
    ('b1000', 'acquired2')
    """
    if name in ORDINAL or not isinstance(value, float):
        return f"{name}{number}"
    return f"{name}{value:g}"
