"""The files of one synthetic case: an image, its mask, what is written beside them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medunet.config.card import Card
from medunet.errors import DataError
from medunet.io.rights import give_rights
from medunet.io.write import write_synthetic_image

INT16 = (-(2**15), 2**15 - 1)
NOTE_DIGITS = 16  # of the manifest's hash in an image's header, where NIfTI has 80 characters in all
Array = NDArray[Any]


@dataclass(frozen=True)
class Origin:
    """What a synthetic case follows from."""

    number: int
    manifest_sha256: str
    generator: str
    weights_sha256: str
    unknown_pixels: bool = False  # of pictures: an edge of 1 mm is no edge, but none was known

    def sidecar(self, spacing_mm: Sequence[float]) -> dict[str, Any]:
        """Return what stands beside the image; for pictures the pixel size too, as BIDS writes it."""
        facts: dict[str, Any] = {
            "Sample": self.number,
            "ManifestSHA256": self.manifest_sha256,
            "Generator": self.generator,
            "GeneratorWeightsSHA256": self.weights_sha256,
        }
        edges = [float(edge) for edge in spacing_mm]
        if len(edges) == 2 and not (self.unknown_pixels and edges == [1.0, 1.0]):
            facts |= {"PixelSize": edges, "PixelSizeUnits": "mm"}
        return facts


def case_name(number: int) -> str:
    """Return the case of a sample.

    >>> case_name(7)
    'synthetic_000007'
    """
    return f"synthetic_{number:06d}"


def write_pair(
    folder: Path, origin: Origin, image: Array, mask: Array, spacing_mm: Sequence[float]
) -> tuple[Path, Path]:
    """Write images/CASE.*, images/CASE.json and masks/CASE.* below a folder; return image and mask."""
    case, affine = case_name(origin.number), np.diag([*spacing_mm, 1.0])
    stored, ending = as_stored(image)
    image_file = folder / "images" / f"{case}{ending}"
    mask_file = folder / "masks" / f"{case}{'.png' if mask.ndim == 2 else '.nii.gz'}"
    note = f"medunet, set {origin.manifest_sha256[:NOTE_DIGITS]}"
    write_synthetic_image(image_file, stored, affine, note, origin.sidecar(spacing_mm))
    write_synthetic_image(mask_file, mask.astype(np.uint8), affine, note)
    return image_file, mask_file


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; DataError if it is not there."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Put the file back.") from error


def append_line(path: Path, line: str) -> None:
    """Append a line to a file and wait until the disk has it."""
    new = not path.exists()
    with path.open("ab") as stream:
        stream.write(line.encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    if new:
        give_rights(path)


def as_stored(image: Array) -> tuple[Array, str]:
    """Return the image in the smallest type that changes none of its values, and the ending of its file."""
    whole = image.dtype.kind in "iub" or np.array_equal(image, np.rint(image))
    low, high = image.min(), image.max()
    if image.ndim == 3:
        byte = whole and low >= 0 and high <= 255
        return (image.astype(np.uint8), ".png") if byte else (image.astype(np.float32), ".tif")
    short = whole and low >= INT16[0] and high <= INT16[1]
    return image.astype(np.int16 if short else np.float32), ".nii.gz"


def check_pair(where: Path, image: Array, mask: Array, card: Card) -> None:
    """Raise a DataError unless image (C, X, Y[, Z]) and mask (X, Y[, Z]) are what the card says."""
    expected = (card.channels, *mask.shape)
    if mask.ndim != card.dims or image.shape != expected:
        raise DataError(
            f"{where}: found an image of shape {image.shape} and a mask of {mask.shape}; expected "
            f"{card.channels} channel(s) in {card.dims}D on one grid, as the card says"
        )
    if not np.isfinite(image).all():
        raise DataError(f"{where}: the image holds NaN or infinite values: the generator has not converged")
    if unknown := sorted({int(value) for value in np.unique(mask)} - {0, *card.labels}):
        raise DataError(f"{where}: the mask holds {unknown}; expected 0 or one of {sorted(card.labels)}")
