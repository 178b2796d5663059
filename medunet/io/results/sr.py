"""Write the volume of every label, of a projection its area, as a structured report, TID 1500 (PS3.16)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from medunet.config.card import Label
from medunet.io.dicom.reference import ScanReference
from medunet.io.results.codes import Coding, coding_of, warnings_of
from medunet.io.results.maker import REQUIRED, Maker, count_labels, described, lenient, save, stamp
from medunet.io.results.seg import Segments
from medunet.io.volume import Array

MILLILITRE = Code("ml", "UCUM", "milliliter")
SQUARE_MILLIMETRE = Code("mm2", "UCUM", "square millimeter")
PROCEDURES = {
    "CT": codes.cid100.CTUnspecifiedBodyRegion,
    "MR": codes.cid100.MRIUnspecifiedBodyRegion,
    "PT": codes.cid100.PETUnspecifiedBodyRegion,
}


def write_sr(
    path: Path,
    mask: Array,
    reference: ScanReference,
    labels: Mapping[int, Label],
    maker: Maker,
    segments: Segments | None,
) -> tuple[str, ...]:
    """Write the volume of every label of a mask (columns, rows[, slices]) in stored order; return warnings.

    Volumes are in ml, of a 2D mask areas in mm2; labels without voxels have 0. They refer to the segments of
    `write_seg`, None where the mask was empty. The report is preliminary and unverified. The same call writes
    the same bytes.
    """
    counts = count_labels(path, mask, reference, labels)
    groups = [
        _group(value, label, counts.get(value, 0), reference, maker, segments)
        for value, label in labels.items()
    ]
    with lenient():
        report = hd.sr.MeasurementReport(
            observation_context=_observer(maker),
            procedure_reported=PROCEDURES.get(
                str(reference.header.get("Modality")), codes.cid100.ImagingProcedure
            ),
            imaging_measurements=groups,
            title=codes.DCM.ImagingMeasurementReport,
        )
        facts = described("SR", mask, reference, maker, segments.sop if segments else "")
        dataset = hd.sr.Comprehensive3DSR(
            evidence=_evidence(reference, segments),
            content=report[0],
            is_complete=True,
            is_final=False,
            is_verified=False,
            **facts,
        )
        dataset.pop("ContributingEquipmentSequence", None)
        stamp(dataset, reference, maker)
        save(dataset, path)
    return warnings_of(labels)


def _observer(maker: Maker) -> hd.sr.ObservationContext:
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=maker.uid("device"), name="medunet", manufacturer_name="medunet", model_name=maker.name[:64]
    )
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(
            observer_type=codes.DCM.Device, observer_identifying_attributes=device
        )
    )


def _group(
    value: int,
    label: Label,
    voxels: int,
    reference: ScanReference,
    maker: Maker,
    segments: Segments | None,
) -> hd.sr.MeasurementsAndQualitativeEvaluations | hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations:
    """Return the measurements of one label: of its segment, or of the whole series where it has none.

    The template for areas (TID 1410) refers to a frame, which in a label map holds all labels: areas of a
    projection name the segment by its tracking UID alone.
    """
    coding = coding_of(value, label)
    number = segments.numbers.get(value) if segments else None
    tracking = (
        segments.tracking[value] if segments and number else maker.uid("none", label.name, reference.series)
    )
    common: dict[str, Any] = {
        "tracking_identifier": hd.sr.TrackingIdentifier(uid=tracking, identifier=label.name),
        "finding_type": coding.type,
        "finding_category": coding.category,
        "finding_sites": _sites(coding),
        "algorithm_id": hd.sr.AlgorithmIdentification(
            name=maker.name,
            version=maker.version,
            parameters=[f"{key}={found}" for key, found in maker.parameters.items()],
        ),
        "measurements": [_measured(voxels, reference)],
    }
    if segments is None or number is None or len(reference.grid.shape) == 2:
        return hd.sr.MeasurementsAndQualitativeEvaluations(**common)
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=segments.sop_class,
            sop_instance_uid=segments.sop,
            segment_number=number,
            source_series=hd.sr.SourceSeriesForSegmentation(reference.series),
        ),
        **common,
    )


def _measured(voxels: int, reference: ScanReference) -> hd.sr.Measurement:
    if len(reference.grid.shape) == 2:
        area_mm2 = voxels * reference.pixel_mm2
        return hd.sr.Measurement(name=codes.SCT.Area, value=area_mm2, unit=SQUARE_MILLIMETRE)
    volume_ml = voxels * reference.voxel_ml
    return hd.sr.Measurement(name=codes.SCT.Volume, value=volume_ml, unit=MILLILITRE)


def _sites(coding: Coding) -> list[hd.sr.FindingSite] | None:
    return [hd.sr.FindingSite(anatomic_location=coding.type, laterality=coding.side)] if coding.side else None


def _evidence(reference: ScanReference, segments: Segments | None) -> list[Dataset]:
    """Return headers of the segmentation and of all source images, without identity."""
    found = [(image.sop_class, image.sop, reference.series) for image in reference.images]
    if segments:
        found.append((segments.sop_class, segments.sop, segments.series))
    evidence = []
    for sop_class, sop, series in dict.fromkeys(found):
        item = Dataset()
        item.SOPClassUID, item.SOPInstanceUID = sop_class, sop
        item.StudyInstanceUID, item.SeriesInstanceUID = reference.study, series
        for keyword in REQUIRED:
            setattr(item, keyword, None)
        evidence.append(item)
    return evidence
