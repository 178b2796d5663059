"""What tells images at one position apart: echoes, b-values, time points, kernels (DICOM PS3.3 C.8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydicom.dataset import Dataset

from medunet.io.dicom.file import frame_groups, read_header, tags_of
from medunet.io.dicom.headers import Slice

Marks = tuple[tuple[str, Any], ...]  # name, value; in the order in which they are tried


class _Mark(NamedTuple):
    name: str  # for the name of a part, such as b1000
    tags: tuple[Any, ...]  # keyword, then private tags of vendors; the first that has a value counts
    sequence: str = ""  # functional group of enhanced objects that holds it
    ordinal: bool = False  # its value is a date or has no unit: parts are numbered


GE_B_VALUE = 0x00431039
GE_OFFSET = 10**9
_MARKS = (
    _Mark("echo", ("EchoNumbers",), "MREchoSequence"),
    _Mark("echotime", ("EchoTime", "EffectiveEchoTime"), "MREchoSequence"),
    # b-values: standard, Siemens, GE, Philips
    _Mark("b", ("DiffusionBValue", 0x0019100C, GE_B_VALUE, 0x20011003), "MRDiffusionSequence"),
    _Mark("direction", ("DiffusionGradientOrientation", 0x0019100E), "MRDiffusionSequence", ordinal=True),
    _Mark("time", ("TemporalPositionIdentifier", "TemporalPositionIndex"), "FrameContentSequence"),
    _Mark("ti", ("InversionTime",), "MRModifierSequence"),
    _Mark("flip", ("FlipAngle",), "MRTimingAndRelatedParametersSequence"),
    _Mark("trigger", ("TriggerTime", "NominalCardiacTriggerDelayTime"), "CardiacSynchronizationSequence"),
    _Mark("kvp", ("KVP",), "CTXRayDetailsSequence"),
    _Mark("frame", ("FrameReferenceTime",), ordinal=True),
    _Mark("kernel", ("ConvolutionKernel",), "CTReconstructionSequence", ordinal=True),
    _Mark("type", ("ComplexImageComponent",), "MRImageFrameTypeSequence"),
    _Mark("type", ("FrameType", "ImageType"), "MRImageFrameTypeSequence", ordinal=True),
    _Mark("contrast", ("ContrastBolusAgent",), ordinal=True),
    _Mark("stack", ("StackID",), "FrameContentSequence"),
    _Mark("acquisition", ("AcquisitionNumber", "FrameAcquisitionNumber"), "FrameContentSequence"),
    _Mark(
        "acquired", ("AcquisitionDateTime", "FrameAcquisitionDateTime"), "FrameContentSequence", ordinal=True
    ),
    _Mark("acquired", ("AcquisitionTime",), ordinal=True),
    _Mark("content", ("ContentTime",), ordinal=True),
)
ORDINAL = frozenset(mark.name for mark in _MARKS if mark.ordinal)
_CREATORS = (0x00190010, 0x00430010, 0x20010010)  # without them the type of a private element is not known
_TAGS = tags_of(
    *(tag for mark in _MARKS for tag in mark.tags),
    *_CREATORS,
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)


def marks_of(slices: Iterable[Slice]) -> dict[Slice, Marks]:
    """Return the marks of images, from their headers."""
    found = {}
    headers: dict[Path, Dataset] = {}
    for plane in slices:
        if plane.path not in headers:
            headers[plane.path], _ = read_header(plane.path, _TAGS)
        dataset = headers[plane.path]
        found[plane] = tuple(_marks(dataset, frame_groups(dataset, plane.frame)))
    return found


def _marks(dataset: Dataset, groups: Sequence[Dataset]) -> Iterator[tuple[str, Any]]:
    for mark in _MARKS:
        items = [item for group in groups if mark.sequence for item in group.get(mark.sequence) or ()]
        values = (_value(holder, mark.tags) for holder in (*items, dataset))
        if (value := next((v for v in values if v is not None), None)) is not None:
            yield mark.name, value


def _value(holder: Dataset, tags: Sequence[Any]) -> Any:
    for tag in tags:
        element = holder.get(tag)
        value = element.value if isinstance(tag, int) and element is not None else element
        if value not in (None, "", b""):
            plain = _plain(value)
            return plain if tag != GE_B_VALUE else _ge_b_value(plain)
    return None


def _plain(value: Any) -> Any:
    """Return a value that can be compared and hashed; numbers as float."""
    if isinstance(value, bytes):  # a private element whose creator is not known
        value = value.decode("latin-1").strip("\0 ")
    if not isinstance(value, str) and hasattr(value, "__iter__"):
        return tuple(_plain(one) for one in value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def _ge_b_value(value: Any) -> Any:
    """Return the b-value of four numbers, or of their text; newer software adds a constant."""
    first = value.split("\\")[0] if isinstance(value, str) else value
    first = _plain(first[0] if isinstance(first, tuple) else first)
    return first % GE_OFFSET if isinstance(first, float) else first
