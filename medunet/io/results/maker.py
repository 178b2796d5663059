"""What all DICOM results share: their maker, UIDs that follow from them, identity, dates, references."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydicom import config as pydicom_config
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage
from pydicom.valuerep import format_number_as_ds

from medunet import __version__
from medunet.config.card import Label
from medunet.errors import DataError
from medunet.io.dicom.frames import LPS_TO_RAS
from medunet.io.dicom.reference import IDENTITY, ScanReference, made_uid
from medunet.io.stored import SYNTHETIC
from medunet.io.volume import Array
from medunet.io.write import write_atomic

Algorithm = Literal["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]  # DICOM PS3.3, C.8.20.4
DISCLAIMER = "AI result, not for diagnosis"
SERIES_NUMBERS = {"SEG": 9001, "RTSTRUCT": 9002, "SR": 9003, "SC": 9004}
STAND_IN = "1.0"  # root of the UIDs that never leave this process
REQUIRED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip


@dataclass(frozen=True)
class Maker:
    """What made a result: the algorithm, and the sums of its model and configuration."""

    name: str  # of the algorithm, such as the model's; at most 64 characters
    version: str
    model_sha256: str
    config_sha256: str
    made: datetime | None = None  # None: the date of the scan, so that making it again gives the same bytes
    algorithm: Algorithm = "AUTOMATIC"  # SEMIAUTOMATIC: a person has corrected it; MANUAL: drawn by a person

    def uid(self, *parts: str) -> str:
        """Return a UID that follows from model, configuration and parts."""
        return made_uid(self.model_sha256, self.config_sha256, *parts)

    @property
    def parameters(self) -> dict[str, str]:
        """What identifies the algorithm beyond name and version."""
        return {"model_sha256": self.model_sha256, "config_sha256": self.config_sha256}


def described(kind: str, mask: Array, reference: ScanReference, maker: Maker, *parts: str) -> dict[str, Any]:
    """Return what highdicom asks of any object.

    UIDs follow from mask, sources, maker, our version and parts: of two objects with one UID (which PS3.5, 9
    forbids) an archive keeps the first.
    """
    sources = sorted({image.sop for image in reference.images})
    made = str(maker.made or "")
    facts = (__version__, maker.name, maker.version, made, mask_sha256(mask), *parts, *sources)
    return {
        "series_instance_uid": maker.uid(kind, "series", *facts),
        "series_number": SERIES_NUMBERS[kind],
        "series_description": f"{_warning(reference)}: {maker.name}"[:64],
        "sop_instance_uid": maker.uid(kind, "instance", *facts),
        "instance_number": 1,
        "manufacturer": "medunet",
        "manufacturer_model_name": maker.name[:64],
        "software_versions": (__version__, maker.version),
        "device_serial_number": maker.model_sha256[:16],
    }


def _warning(reference: ScanReference) -> str:
    return SYNTHETIC if reference.header.get("SyntheticData") == "YES" else DISCLAIMER


def stand_ins(reference: ScanReference) -> list[Dataset]:
    """Return one plain header per slice for highdicom, without identity; their UIDs are the slice's number.

    Enhanced, tilted and incomplete sources look alike this way; `with_true_sources` puts the real ones in.
    """
    common, found = _common(reference), []
    for number, image in enumerate(reference.images):
        dataset = Dataset()
        dataset.update(common)
        dataset.SOPInstanceUID = f"{STAND_IN}.{number}"
        if image.plane:
            dataset.ImagePositionPatient = decimals(image.plane.position_lps)
        found.append(dataset)
    return found


def _common(reference: ScanReference) -> Dataset:
    dataset = Dataset()
    plane = reference.images[0].plane
    dataset.SOPClassUID = CTImageStorage if plane else SecondaryCaptureImageStorage
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = reference.study, reference.series
    for keyword in REQUIRED:
        setattr(dataset, keyword, None)
    dataset.Columns, dataset.Rows = reference.grid.shape[:2]
    if plane:  # the first one's for all: highdicom wants one orientation to the last digit
        normal = np.cross(plane.cosines_lps[:3], plane.cosines_lps[3:]) * LPS_TO_RAS
        dataset.FrameOfReferenceUID = reference.place
        dataset.ImageOrientationPatient = decimals(plane.cosines_lps)
        dataset.PixelSpacing = decimals(plane.spacing_mm)
        dataset.SliceThickness = decimals([abs(normal @ reference.grid.affine[:3, 2])])[0]
    return dataset


def with_true_sources(dataset: Dataset, reference: ScanReference) -> None:
    """Replace the references to stand-ins by those to the images of the series."""
    images = {f"{STAND_IN}.{number}": image for number, image in enumerate(reference.images)}
    for group in dataset.PerFrameFunctionalGroupsSequence:
        for derivation in group.DerivationImageSequence:
            for source in derivation.SourceImageSequence:
                image = images.get(source.ReferencedSOPInstanceUID)
                if image is None:  # done: the segments of a slice share the item
                    continue
                source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = image.sop_class, image.sop
                if image.frame:
                    source.ReferencedFrameNumber = image.frame
    dataset.SourceImageSequence = instances(reference)
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = reference.series, instances(reference)
    dataset.ReferencedSeriesSequence = [series]


def instances(reference: ScanReference) -> list[Dataset]:
    """Return a reference to each file of the series."""
    return [
        referenced(sop_class, sop)
        for sop, sop_class in {i.sop: i.sop_class for i in reference.images}.items()
    ]


def referenced(sop_class: str, sop: str) -> Dataset:
    """Return a reference to one instance."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop
    return item


def stamp(dataset: Dataset, reference: ScanReference, maker: Maker) -> None:
    """Give a result the identity of its scan, and dates that do not depend on when it is written."""
    for keyword in REQUIRED:
        setattr(dataset, keyword, None)
    for tag in sorted(reference.header.keys() & {Tag(keyword) for keyword in IDENTITY}):
        dataset[tag] = reference.header[tag]
    if not dataset.get("SpecificCharacterSet"):
        dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.StudyInstanceUID = reference.study
    for keyword in ("InstanceCreationDate", "InstanceCreationTime"):
        dataset.pop(keyword, None)
    for equipment in dataset.get("ContributingEquipmentSequence") or []:
        equipment.pop("ContributionDateTime", None)
    day, time = made_at(reference, maker)
    for what in ("Content", "Series", "StructureSet"):
        if what == "Series" or f"{what}Date" in dataset:
            setattr(dataset, f"{what}Date", day)
            setattr(dataset, f"{what}Time", time)


def made_at(reference: ScanReference, maker: Maker) -> tuple[str, str]:
    """Return date and time of a result: the maker's, else those of the scan."""
    if maker.made:
        return maker.made.strftime("%Y%m%d"), maker.made.strftime("%H%M%S")
    for what in ("Series", "Acquisition", "Content", "Study"):
        day, time = (str(reference.header.get(f"{what}{part}") or "") for part in ("Date", "Time"))
        if re.fullmatch(r"\d{8}", day):
            return day, time if re.fullmatch(r"\d{6}(\.\d{1,6})?", time) else "000000"
    return "19000101", "000000"


def count_labels(
    path: Path, mask: Array, reference: ScanReference, labels: Mapping[int, Label]
) -> dict[int, int]:
    """Return the number of voxels of each value above 0; DataError where mask, grid and labels do not fit."""
    if mask.shape != reference.grid.shape or mask.dtype.kind not in ("b", "u"):
        raise DataError(
            f"{path}: found a mask of {mask.dtype} {mask.shape}; expected unsigned whole numbers in "
            f"the stored order of the scan, {reference.grid.shape} (columns, rows, slices)"
        )
    flat = np.zeros(256 if mask.dtype.itemsize == 1 else 2**16, np.int64)
    for part in _parts(mask):
        flat += np.bincount(part.ravel(order="K"), minlength=len(flat))
    counts = {int(value): int(flat[value]) for value in np.flatnonzero(flat) if value}
    if unknown := sorted(counts.keys() - labels.keys()):
        raise DataError(
            f"{path}: the mask holds {unknown[:8]}, which are no labels; expected {sorted(labels)[:8]} ..."
        )
    return counts


def mask_sha256(mask: Array) -> str:
    """Return the hash of the labels in a mask, whatever their type and their order in memory."""
    plain = np.dtype("u1" if mask.max() < 256 else "<u2")
    found = hashlib.sha256(repr(mask.shape).encode())
    for plane in mask.T:
        found.update(np.ascontiguousarray(plane, plain).data)
    return found.hexdigest()


def _parts(mask: Array) -> list[Array]:
    """Return pieces of a mask that are contiguous where the mask is."""
    longest = int(np.argmax(np.abs(mask.strides)))
    return list(np.array_split(mask, max(1, mask.size // 2**20), axis=longest))


def decimals(numbers: Sequence[float]) -> list[str]:
    """Return numbers as DICOM decimal strings, at most 16 characters each."""
    return [format_number_as_ds(float(number) + 0.0) for number in numbers]


@contextmanager
def lenient() -> Iterator[None]:
    """Take values of the source as they are: an odd date of birth is no reason to lose a result."""
    with pydicom_config.disable_value_validation():
        yield


def save(dataset: Dataset, path: Path) -> None:
    """Write a result, whole or not at all."""
    with write_atomic(path, len(dataset.get("PixelData") or b"") + 2**20) as temporary:
        dataset.save_as(temporary, enforce_file_format=True)
