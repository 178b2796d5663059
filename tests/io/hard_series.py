"""DICOM series that are hard to read, with known truth: every voxel tells its own place in the patient.

The value at (x, y, z) mm LPS is 2 x + 3 y + 5 z + 1000, plus an offset that names the volume.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

SLOPES_LPS = np.array([2.0, 3.0, 5.0])
BASE = 1000.0
ROWS, COLUMNS, SLICES = 9, 12, 8
Vector = Sequence[float]


def truth(points_lps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the value at points (..., 3) in mm LPS."""
    return points_lps @ SLOPES_LPS + BASE


@dataclass
class Series:
    """How a series is built; `planes` then holds one data set per image."""

    row: Vector = (1, 0, 0)
    column: Vector = (0, 1, 0)
    step: Vector | None = None  # from slice to slice; default: along the normal
    heights: Sequence[float] = tuple(range(SLICES))
    spacing_mm: tuple[float, float] = (1.5, 0.8)  # between rows, between columns
    thickness_mm: float = 2.5
    origin: Vector = (-4.0, 6.0, -10.0)
    shape: tuple[int, int] = (ROWS, COLUMNS)
    uid: str = "1"
    offset: float = 0.0

    def images(
        self, change: Callable[[Dataset, int], None] = lambda dataset, index: None
    ) -> list[FileDataset]:
        """Return the images; `change` may edit each."""
        out = []
        for index in range(len(self.heights)):
            dataset = self._image(index)
            change(dataset, index)
            out.append(dataset)
        return out

    def position(self, index: int) -> NDArray[np.float64]:
        """Return the first voxel of an image, mm LPS."""
        step = self.step if self.step is not None else self.thickness_mm * np.cross(self.row, self.column)
        return np.asarray(self.origin) + self.heights[index] * np.asarray(step)

    def values(self, index: int) -> NDArray[np.float64]:
        """Return the true values (rows, columns) of an image."""
        r, c = np.meshgrid(*(np.arange(n) for n in self.shape), indexing="ij")
        points = (
            self.position(index)
            + c[..., None] * np.asarray(self.row) * self.spacing_mm[1]
            + r[..., None] * np.asarray(self.column) * self.spacing_mm[0]
        )
        return truth(points) + self.offset

    def _image(self, index: int) -> FileDataset:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(
            entropy_srcs=["hard", self.uid, str(index), str(self.offset)]
        )
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        facts: dict[str, Any] = {
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "StudyInstanceUID": "1.2.1",
            "SeriesInstanceUID": f"1.2.2.{self.uid}",
            "FrameOfReferenceUID": "1.2.3",
            "Modality": "CT",
            "SeriesNumber": self.uid,
            "InstanceNumber": index + 1,
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "ImagePositionPatient": [f"{x:.8g}" for x in self.position(index)],
            "ImageOrientationPatient": [f"{x:.10g}" for x in (*self.row, *self.column)],
            "PixelSpacing": list(self.spacing_mm),
            "SliceThickness": self.thickness_mm,
            "Rows": self.shape[0],
            "Columns": self.shape[1],
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "RescaleSlope": 1,
            "RescaleIntercept": 0,
        }
        for keyword, value in facts.items():
            setattr(dataset, keyword, value)
        store(dataset, np.rint(self.values(index)).astype(np.int16))
        return dataset


def store(dataset: Dataset, stored: NDArray[Any], bits: int | None = None) -> None:
    """Put whole numbers (rows, columns) into a data set as they are to be stored."""
    allocated = stored.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored = allocated, bits or allocated
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(stored.dtype.kind == "i")
    dataset.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OB" if allocated == 8 else "OW"


def save(folder: Path, images: Sequence[Dataset], names: Sequence[str] | None = None) -> None:
    """Write images, in an order of names that has nothing to do with their places."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = len(list(folder.iterdir()))
    for index, dataset in enumerate(images):
        name = names[index] if names else f"{(taken + index) * 37 % 101:03d}-{taken + index}.dcm"
        dataset.save_as(folder / name, enforce_file_format=True)


def enhanced(series: Sequence[Series], order: Sequence[tuple[int, int]], mark: str = "") -> FileDataset:
    """Return one multi-frame object with frames (series, slice) in the given order."""
    base = series[0].images()[0]
    base.file_meta.MediaStorageSOPClassUID = base.SOPClassUID = EnhancedMRImageStorage
    base.Modality, base.NumberOfFrames = "MR", len(order)
    frames = []
    for which, index in order:
        one = series[which]
        frame, position, measures, place = Dataset(), Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [f"{x:.8g}" for x in one.position(index)]
        measures.PixelSpacing, measures.SliceThickness = list(one.spacing_mm), one.thickness_mm
        place.ImageOrientationPatient = [*one.row, *one.column]
        frame.PlanePositionSequence, frame.PixelMeasuresSequence = Items([position]), Items([measures])
        frame.PlaneOrientationSequence = Items([place])
        if mark:
            content = Dataset()
            setattr(content, mark, which + 1)
            frame.FrameContentSequence = Items([content])
        frames.append(frame)
    base.PerFrameFunctionalGroupsSequence = Items(frames)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(base, keyword)
    stored = np.stack([np.rint(series[which].values(index)) for which, index in order]).astype(np.int16)
    base.PixelData = stored.tobytes()
    return base


def with_syntax(folder: Path, images: Sequence[FileDataset], syntax: str) -> None:
    """Write images in another transfer syntax; voxels stay as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, dataset in enumerate(images):
        path = folder / f"{index}.dcm"
        if syntax in (RLELossless, JPEGLSLossless):
            dataset.compress(syntax, generate_instance_uid=False)
        elif syntax in (JPEG2000Lossless, JPEGLosslessSV1):
            pixels = dataset.pixel_array.astype(np.uint16)
            dataset.PixelRepresentation = 0
            coded = (
                imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", reversible=True)
                if syntax == JPEG2000Lossless
                else imagecodecs.ljpeg_encode(pixels)
            )
            dataset.PixelData = encapsulate([coded])
            dataset["PixelData"].is_undefined_length = True
        elif syntax == ExplicitVRBigEndian:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<i2").astype(">i2").tobytes()
        dataset.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(
            path,
            dataset,
            implicit_vr=syntax == ImplicitVRLittleEndian,
            little_endian=syntax != ExplicitVRBigEndian,
            force_encoding=True,
        )


def copy(folder: Path, index: int, name: str) -> Path:
    """Copy the index-th file of a folder under another name."""
    source = sorted(folder.iterdir())[index]
    return Path(shutil.copy(source, folder / name))


SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "big_endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg_ls": JPEGLSLossless,
    "jpeg_2000": JPEG2000Lossless,
    "jpeg_lossless": JPEGLosslessSV1,
}
