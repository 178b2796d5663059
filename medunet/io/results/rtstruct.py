"""Write masks as RT Structure Set (PS3.3 A.19): contours along pixel edges, which enclose just the mask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage
from pydicom.valuerep import format_number_as_ds

from medunet.config.card import Label
from medunet.errors import DataError
from medunet.io.dicom.contours import Points, trace
from medunet.io.dicom.frames import LPS_TO_RAS, Plane
from medunet.io.dicom.reference import Image, ScanReference
from medunet.io.results.codes import Coding, coding_of, warnings_of
from medunet.io.results.maker import (
    DISCLAIMER,
    Maker,
    count_labels,
    described,
    instances,
    lenient,
    referenced,
    save,
    stamp,
)
from medunet.io.volume import Array

CONTOUR_DATA = Tag("ContourData")
STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # how RT objects refer to a study
KEYWORDS = {
    "SeriesInstanceUID": "series_instance_uid",
    "SeriesNumber": "series_number",
    "SeriesDescription": "series_description",
    "InstanceNumber": "instance_number",
    "Manufacturer": "manufacturer",
    "ManufacturerModelName": "manufacturer_model_name",
    "SoftwareVersions": "software_versions",
    "DeviceSerialNumber": "device_serial_number",
}  # of the standard for what `described` gives
Contours = dict[int, list[Dataset]]  # by label value


def write_rtstruct(
    path: Path, mask: Array, reference: ScanReference, labels: Mapping[int, Label], maker: Maker
) -> tuple[str, ...]:
    """Write a mask (columns, rows, slices) of label values, in the stored order of the grid; return warnings.

    Each connected region of a slice is one closed contour; holes are cut in by a channel of no width. The
    same call writes the same bytes. DataError as `write_seg`, and for projections, which have no place in
    space.
    """
    counts = count_labels(path, mask, reference, labels)
    if not counts:
        raise DataError(f"{path}: the mask is empty; a structure set needs at least one voxel")
    if any(image.plane is None for image in reference.images):
        raise DataError(f"{path}: a projection has no place in space, so it has no contours; write a SEG")
    codings = {value: coding_of(value, labels[value]) for value in labels if counts.get(value)}
    contours = _contours(mask, reference)
    with lenient():
        dataset = _header(mask, reference, maker)
        dataset.ReferencedFrameOfReferenceSequence = [_frame_of_reference(reference)]
        dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
        dataset.RTROIObservationsSequence = []
        for number, (value, coding) in enumerate(codings.items(), start=1):
            volume_ml = counts[value] * reference.voxel_ml
            dataset.StructureSetROISequence.append(_roi(number, labels[value], volume_ml, reference, maker))
            dataset.ROIContourSequence.append(_roi_contours(number, coding, contours[value]))
            dataset.RTROIObservationsSequence.append(_observation(number, labels[value], coding))
        stamp(dataset, reference, maker)
        save(dataset, path)
    return warnings_of({value: labels[value] for value in codings})


def _contours(mask: Array, reference: ScanReference) -> Contours:
    """Return the contour items of every label, slice by slice."""
    found: Contours = defaultdict(list)
    for number, image in enumerate(reference.images):
        if image.plane:
            common = _common(image)
            for value, points in trace(mask[:, :, number]):
                found[value].append(_contour(points, common, image.plane))
    return found


def _common(image: Image) -> Dataset:
    """Return what the contours of a slice share; they share it in memory too."""
    common, source = Dataset(), referenced(image.sop_class, image.sop)
    if image.frame:
        source.ReferencedFrameNumber = image.frame
    common.ContourImageSequence = [source]
    common.ContourGeometricType = "CLOSED_PLANAR"
    return common


def _contour(points: Points, common: Dataset, plane: Plane) -> Dataset:
    item = Dataset()
    item.update(common)
    item.NumberOfContourPoints = len(points)
    numbers = (points @ plane.steps_mm.T + plane.origin_mm) * LPS_TO_RAS
    text = "\\".join(["%.4f"] * numbers.size) % tuple(numbers.ravel().tolist())
    # as bytes, which a file of implicit VR holds as they are: pydicom would make an object of every number
    item[CONTOUR_DATA] = DataElement(CONTOUR_DATA, "OB", text.encode("ascii") + b" " * (len(text) % 2))
    return item


def _header(mask: Array, reference: ScanReference, maker: Maker) -> FileDataset:
    facts = described("RTSTRUCT", mask, reference, maker)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        RTStructureSetStorage,
        facts["sop_instance_uid"],
    )
    meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian  # explicit VR has two bytes for the length of contour data
    )
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTStructureSetStorage, facts["sop_instance_uid"]
    dataset.Modality = "RTSTRUCT"
    for keyword, fact in KEYWORDS.items():
        setattr(dataset, keyword, facts[fact])
    dataset.OperatorsName = None
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = reference.place, None
    dataset.StructureSetLabel, dataset.StructureSetName = "medunet", maker.name[:64]
    dataset.StructureSetDescription = DISCLAIMER
    dataset.StructureSetDate = dataset.StructureSetTime = None
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def _frame_of_reference(reference: ScanReference) -> Dataset:
    series, study, place = Dataset(), referenced(STUDY_CLASS, reference.study), Dataset()
    series.SeriesInstanceUID, series.ContourImageSequence = reference.series, instances(reference)
    study.RTReferencedSeriesSequence = [series]
    place.FrameOfReferenceUID, place.RTReferencedStudySequence = reference.place, [study]
    return place


def _roi(number: int, label: Label, volume_ml: float, reference: ScanReference, maker: Maker) -> Dataset:
    item = Dataset()
    item.ROINumber, item.ROIName = number, label.name[:64]
    item.ReferencedFrameOfReferenceUID = reference.place
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    item.ROIGenerationDescription = f"{maker.name} {maker.version}"[:64]
    item.ROIVolume = format_number_as_ds(volume_ml)
    return item


def _roi_contours(number: int, coding: Coding, contours: list[Dataset]) -> Dataset:
    item = Dataset()
    item.ReferencedROINumber, item.ROIDisplayColor = number, list(coding.rgb)
    for count, contour in enumerate(contours, start=1):
        contour.ContourNumber = count
    item.ContourSequence = contours
    return item


def _observation(number: int, label: Label, coding: Coding) -> Dataset:
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = number
    item.ROIObservationLabel = label.name[:16]
    item.RTROIIdentificationCodeSequence = [_code(coding.type)]
    item.RTROIInterpretedType, item.ROIInterpreter = "", None
    return item


def _code(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = (
        code.value,
        code.scheme_designator,
        code.meaning,
    )
    return item
