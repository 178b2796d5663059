"""What happens to each attribute: PS3.15 Table E.1-1, and stricter where the table says nothing.

The table is read from dicom-anonymizer. Its actions are not used: they reach only the top level.
An attribute that the table does not name is kept only if its value cannot hold free text, or if it is on the
short list `TECHNICAL` of words about machine and method.
"""

from __future__ import annotations

from enum import Enum
from functools import cache

from dicomanonymizer.simpledicomanonymizer import initialize_actions
from pydicom.datadict import tag_for_keyword
from pydicom.tag import BaseTag

EDITION = "dicomfields_2026c"


class Action(Enum):
    """What is done with one element."""

    REMOVE = "remove"
    EMPTY = "empty"
    FILL = "put a value in its place that says nothing"
    UID = "put the keyed UID in its place"
    SHIFT = "move the date by the patient's number of days"
    CHECK = "keep what has the form of its value representation"
    LABEL = "keep unless it names the patient or a person"
    ENTER = "clean every item of the sequence"
    KEEP = "keep"


def _tags(words: str) -> frozenset[int]:
    found = {word: tag_for_keyword(word) for word in words.split()}
    if unknown := [word for word, tag in found.items() if tag is None]:
        raise KeyError(f"not in the DICOM dictionary: {unknown}")
    return frozenset(tag for tag in found.values() if tag is not None)


TYPED = _tags("ContentLabel")  # a coded word in form only: people type it
LABELS = _tags("ROIName SegmentLabel SegmentDescription TrackingID")
CODES = _tags("CodeValue CodeMeaning LongCodeValue URNCodeValue")
TECHNICAL = _tags(
    """Manufacturer ManufacturerModelName SoftwareVersions CodingSchemeDesignator CodingSchemeVersion
    SequenceName PulseSequenceName ImagedNucleus ReceiveCoilName TransmitCoilName MultiCoilElementName
    ConvolutionKernel FilterType CollimatorGridName ViewName StackID EnergyWindowName ImageFilter
    Radiopharmaceutical Radionuclide RadiopharmaceuticalRoute ContrastBolusRoute AttenuationCorrectionMethod
    ReconstructionMethod ScatterCorrectionMethod DetectorLinesOfResponseUsed RescaleType ModalityLUTType
    WindowCenterWidthExplanation LUTExplanation LUTLabel PositionReferenceIndicator DimensionDescriptionLabel
    SegmentAlgorithmName AlgorithmName AlgorithmVersion OpticalPathIdentifier OpticalPathDescription"""
)
BULK = _tags(
    """PixelData FloatPixelData DoubleFloatPixelData LUTData ICCProfile ExtendedOffsetTable
    RedPaletteColorLookupTableData GreenPaletteColorLookupTableData BluePaletteColorLookupTableData
    SegmentedRedPaletteColorLookupTableData SegmentedGreenPaletteColorLookupTableData
    SegmentedBluePaletteColorLookupTableData ExtendedOffsetTableLengths"""
)
CHARACTERISTICS = _tags("PatientSex PatientAge PatientSize PatientWeight")  # option 113108
NOT_SHIFTED = _tags("PatientBirthDate PatientBirthTime")
CLASS_UIDS = _tags(
    """SOPClassUID ReferencedSOPClassUID ReferencedRelatedGeneralSOPClassUIDInFile RelatedGeneralSOPClassUID
    OriginalSpecializedSOPClassUID SOPClassesSupported CodingSchemeUID ContextUID MappingResourceUID
    ReferencedTransferSyntaxUIDInFile TransferSyntaxUID EncryptedContentTransferSyntaxUID"""
)
ENTERED = _tags(  # sequences that the table lets stay as long as their items are cleaned
    """ContentSequence ReferencedStudySequence ReferencedImageSequence SourceImageSequence
    ReferencedPerformedProcedureStepSequence"""
)
FREE_TEXT = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "UR", "AE", "PN"})
TEMPORAL = frozenset({"DA", "DT", "TM"})
BINARY = frozenset({"OB", "OW", "UN", "OB or OW"})


def is_removed_group(tag: BaseTag) -> bool:
    """Tell group lengths, curves (50xx), overlays (60xx) and what follows the pixels."""
    return tag.element == 0 or tag.group & 0xFF00 in (0x5000, 0x6000) or tag.group >= 0xFFFA


def action_for(tag: BaseTag, vr: str, *, keep_characteristics: bool = False) -> Action:
    """Return what is done with a standard attribute of that value representation."""
    if is_removed_group(tag) or (vr in BINARY and tag not in BULK):
        return Action.REMOVE
    if tag in LABELS:
        return Action.LABEL
    if tag in CHARACTERISTICS and keep_characteristics:
        return Action.CHECK
    if vr in TEMPORAL and tag not in NOT_SHIFTED:
        return Action.SHIFT
    named = _table().get((tag.group, tag.element))
    if vr == "SQ" and tag in ENTERED:
        return Action.ENTER
    if named is Action.ENTER and vr != "SQ":
        return Action.REMOVE
    if named is not None:
        return Action.UID if vr == "UI" and named is not Action.REMOVE else named
    return _unnamed(tag, vr)


def _unnamed(tag: BaseTag, vr: str) -> Action:
    """Return what is done with an attribute that the table does not name."""
    if vr == "SQ":
        return Action.ENTER
    if tag in TYPED:
        return Action.FILL
    if vr == "UI":
        return Action.KEEP if tag in CLASS_UIDS else Action.UID
    if vr in FREE_TEXT:
        return Action.LABEL if tag in TECHNICAL | CODES else Action.EMPTY
    return Action.KEEP if vr in BINARY else Action.CHECK


@cache
def _table() -> dict[tuple[int, int], Action]:
    """Return the table's action per (group, element): X, Z, D and U, and of two the one that keeps more."""
    meaning = {
        "delete": Action.REMOVE,
        "empty": Action.EMPTY,
        "delete_or_empty": Action.EMPTY,
        "replace_UID": Action.UID,
        "delete_or_empty_or_replace_UID": Action.ENTER,
    }
    rules = initialize_actions(EDITION)
    return {
        (tag[0], tag[1]): meaning.get(function.__name__, Action.FILL)
        for tag, function in rules.items()
        if len(tag) == 2
    }
