"""Write a generated image-mask pair as a DICOM series and a segmentation, marked as synthetic for ever.

The mark is SyntheticData (PS3.3 C.12.1), and in words what archives show: patient's name, descriptions. UIDs
follow from the sample's hashes; nothing names the patients that the generator has learnt from.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from medunet import __version__
from medunet.config.card import Card
from medunet.errors import DataError
from medunet.geometry import Affine, spacing_of
from medunet.io.dicom.ct_series import in_lps, placed
from medunet.io.dicom.reference import ScanReference
from medunet.io.limits import check_affine
from medunet.io.results.maker import Maker, decimals, save
from medunet.io.results.seg import write_seg
from medunet.io.results.synthetic_kinds import KINDS, Kind, as_stored, window
from medunet.io.rights import give_rights
from medunet.io.stored import SYNTHETIC
from medunet.io.volume import Array, Grid, Volume

DATE, TIME = (
    "20000101",
    "120000",
)  # no scanner made it: one day for all, so that the bytes do not depend on it
Plane = tuple[Array, dict[str, Any]]  # pixels and where they lie
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Sampled:
    """What a synthetic case follows from; it names no patient."""

    case: str
    number: int  # position in its set
    generator: str  # name of the generator's run
    weights_sha256: str
    manifest_sha256: str
    image_sha256: str
    mask_sha256: str

    @property
    def maker(self) -> Maker:
        """The generator as the maker of DICOM objects."""
        return Maker(self.generator[:64], __version__, self.weights_sha256, self.manifest_sha256)

    @property
    def patient(self) -> str:
        """The PatientID: the sample's own."""
        return f"SYNTHETIC-{self.image_sha256[:8]}-{self.number:06d}"

    @property
    def derivation(self) -> str:
        """What made it, in words and hashes; at most 1024 characters."""
        return (
            f"{SYNTHETIC}. Made by medunet {__version__}, generator {self.generator[:64]}, "
            f"weights SHA-256 {self.weights_sha256}, manifest SHA-256 {self.manifest_sha256}, "
            f"sample {self.number}"
        )

    def uid(self, *parts: str) -> str:
        """Return a UID that follows from generator, manifest and sample."""
        return self.maker.uid("synthetic", str(self.number), self.image_sha256, self.mask_sha256, *parts)


@dataclass(frozen=True)
class Written:
    """The files of one case."""

    series: tuple[Path, ...]  # a folder per channel; of pictures one
    seg: Path | None  # None where the mask is empty
    warnings: tuple[str, ...] = ()


def write_synthetic_dicom(folder: Path, image: Volume, mask: Array, card: Card, sampled: Sampled) -> Written:
    """Write image (C, X, Y[, Z]) and mask (X, Y[, Z]), both RAS+, to a new folder; all files or none.

    CT, MR and PET become series of single slices of their kind, all else Secondary Captures. Values are kept
    to 1/65535 of their range; whole numbers, such as HU, exactly. The same call writes the same bytes.
    """
    kind = KINDS[card.modality]
    array, labels, affine = _lifted(image.array, mask, image.affine, kind)
    _check(folder, array, labels, affine)
    channels = [array[i : i + 1] for i in range(len(array))]
    if array.ndim == 3 and len(array) == 3 and array.min() >= 0 and array.max() <= 255:  # a colour picture
        channels = [np.rint(array).astype(np.uint8)]
    names = ["image"] if len(channels) == 1 else [f"image_{i:04d}" for i in range(len(channels))]
    place = {} if labels.ndim == 2 else _frame_of_reference(sampled)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=folder.parent) as temporary:
        inner = Path(temporary) / "case"
        series = [
            _write_series(inner / name, channel, affine, {**_common(sampled, kind, number), **place}, kind)
            for number, (name, channel) in enumerate(zip(names, channels, strict=True))
        ]
        seg, told = _write_mask(inner / "seg.dcm", series[0], labels, affine, card, sampled)
        give_rights(inner)
        inner.replace(folder)
    return Written(tuple(folder / name for name in names), folder / "seg.dcm" if seg else None, told)


def _lifted(image: Array, mask: Array, affine: Affine, kind: Kind) -> tuple[Array, Array, Affine]:
    """Give a single section of a CT, MR or PET its place in space: these have no flat images."""
    if mask.ndim == 3 or not kind.in_space:
        return image, mask, affine
    full = np.eye(4)
    full[:2, :2], full[:2, 3] = affine[:2, :2], affine[:2, 2]
    return image[..., None], mask[..., None], full


def _check(folder: Path, image: Array, mask: Array, affine: Affine) -> None:
    if image.ndim != mask.ndim + 1 or image.shape[1:] != mask.shape or affine.shape[0] != mask.ndim + 1:
        raise DataError(
            f"{folder}: an image of shape {image.shape} and a mask of {mask.shape}; expected one grid"
        )
    if not np.isfinite(image).all():
        raise DataError(f"{folder}: the image holds NaN or infinite values; DICOM has no place for them")
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder}: the folder holds files already; name a new one")
    check_affine(folder, affine)


def _write_series(
    folder: Path, channel: Array, affine: Affine, common: dict[str, Any], kind: Kind
) -> list[Path]:
    """Write (1, X, Y[, Z]), or a colour picture (3, X, Y), one file a slice; return the files."""
    folder.mkdir(parents=True)
    planes, facts = _planes(channel, affine, kind)
    files = [folder / f"{index + 1:04d}.dcm" for index in range(len(planes))]
    for index, (plane, where) in enumerate(planes):
        numbered = kind.slice_facts(index, len(planes))
        save(_slice(plane, {**common, **facts, **where, **numbered}, index), files[index])
    return files


def _planes(channel: Array, affine: Affine, kind: Kind) -> tuple[list[Plane], dict[str, Any]]:
    """Return (rows, columns[, 3]) and the place of each slice, and what all of them share."""
    if len(channel) == 3:
        return [(channel.T, _flat(affine))], {}
    stored, facts = as_stored(channel[0], kind)
    facts |= window(channel[0])
    if stored.ndim == 2:
        return [(stored.T, _flat(affine))], facts
    stored, lps = in_lps(stored, affine)
    return [(stored[:, :, index].T, placed(lps, index)) for index in range(stored.shape[2])], facts


def _frame_of_reference(sampled: Sampled) -> dict[str, Any]:
    return {"FrameOfReferenceUID": sampled.uid("place"), "PositionReferenceIndicator": ""}


def _flat(affine: Affine) -> dict[str, Any]:
    across, down = spacing_of(affine)
    return {"PixelSpacing": decimals([down, across])}


def _slice(plane: Array, facts: dict[str, Any], index: int) -> FileDataset:
    """Return one image (rows, columns[, 3]) as a data set."""
    facts = dict(facts)
    uid = facts.pop("image_uids")(str(index))
    colour, bits = plane.ndim == 3, 8 * plane.dtype.itemsize
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = facts["SOPClassUID"], uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    facts |= {
        "SOPInstanceUID": uid,
        "InstanceNumber": index + 1,
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        **({"PlanarConfiguration": 0} if colour else {}),
        "Rows": plane.shape[0],
        "Columns": plane.shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(plane.dtype.kind == "i"),
    }
    for keyword, value in facts.items():
        setattr(dataset, keyword, value)
    pixels = np.ascontiguousarray(plane).astype(plane.dtype.newbyteorder("<")).tobytes()
    dataset.add_new("PixelData", "OB" if bits == 8 else "OW", pixels + b"\0" * (len(pixels) % 2))
    return dataset


def _common(sampled: Sampled, kind: Kind, channel: int) -> dict[str, Any]:
    """Return what all images of a series share, without pixels and place."""
    series = sampled.uid("series", str(channel))
    when = {f"{what}Date": DATE for what in ("Study", "Series", "Content", "Acquisition")}
    when |= {f"{what}Time": TIME for what in ("Study", "Series", "Content", "Acquisition")}
    return {
        "image_uids": lambda index: sampled.uid("image", str(channel), index),
        "SOPClassUID": kind.sop_class,
        "ImageType": ["DERIVED", *kind.image_type, "SYNTHETIC"],
        "SyntheticData": "YES",
        "PatientName": SYNTHETIC,
        "PatientID": sampled.patient,
        "PatientBirthDate": "",
        "PatientSex": "",
        **when,
        "StudyInstanceUID": sampled.uid("study"),
        "StudyID": "1",
        "StudyDescription": SYNTHETIC,
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
        "Modality": kind.modality,
        "SeriesInstanceUID": series,
        "SeriesNumber": channel + 1,
        "SeriesDescription": SYNTHETIC,
        "Manufacturer": "medunet",
        "ManufacturerModelName": sampled.generator[:64],
        "DeviceSerialNumber": sampled.weights_sha256[:16],
        "SoftwareVersions": __version__,
        "DerivationDescription": sampled.derivation,
        "ImageComments": sampled.derivation,
        "BurnedInAnnotation": "NO",
        "LossyImageCompression": "00",
        "ContributingEquipmentSequence": [_equipment(sampled)],
        "Laterality": "",
        **kind.facts,
    }


def _equipment(sampled: Sampled) -> Dataset:
    purpose, item = Dataset(), Dataset()
    code = codes.DCM.SynthesizingEquipment
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = (
        code.value,
        code.scheme_designator,
        code.meaning,
    )
    item.PurposeOfReferenceCodeSequence = [purpose]
    item.Manufacturer, item.ManufacturerModelName = "medunet", sampled.generator[:64]
    item.DeviceSerialNumber, item.SoftwareVersions = sampled.weights_sha256[:16], __version__
    item.ContributionDescription = sampled.derivation
    return item


def _write_mask(
    path: Path, files: list[Path], mask: Array, affine: Affine, card: Card, sampled: Sampled
) -> tuple[bool, tuple[str, ...]]:
    """Write the mask as a segmentation of the series in `files`; nothing where it is empty."""
    if not mask.any():
        return False, ("the mask is empty: no segmentation was written",)
    stored, grid = mask, Grid.of(mask.shape, affine)
    if mask.ndim == 3:
        stored, lps = in_lps(mask, affine)
        grid = Grid.of(stored.shape, FLIP @ lps)
    reference = ScanReference.of(files, grid)
    found = write_seg(path, np.ascontiguousarray(stored), reference, card.labels, sampled.maker)
    return True, (*reference.warnings, *found.warnings)
