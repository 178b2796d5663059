"""Write a preview as Secondary Capture (PS3.3 A.8): nine slices with the outlines of the mask."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from medunet.config.card import Label
from medunet.io.dicom.frames import LPS_TO_RAS
from medunet.io.dicom.reference import ScanReference
from medunet.io.results.codes import coding_of
from medunet.io.results.maker import DISCLAIMER, Maker, count_labels, described, lenient, made_at, save, stamp
from medunet.io.volume import Array

TILES = 9
TILE = 208  # pixels, the longer edge of a slice
BAR = 40  # pixels, below the slices
MOST_NAMES = 6
RGB = NDArray[np.uint8]


def write_preview(
    path: Path,
    image: Array,
    mask: Array,
    reference: ScanReference,
    labels: Mapping[int, Label],
    maker: Maker,
) -> None:
    """Write a mosaic of up to nine slices of an image and mask (columns, rows[, slices]) in stored order.

    The grey window is the header's, else the middle 98 % of the values shown. Pixels and SeriesDescription
    say that it is an AI result and not for diagnosis. The same call writes the same bytes.
    """
    present = sorted(count_labels(path, mask, reference, labels))
    picture = _mosaic(
        image, mask, reference, {value: coding_of(value, labels[value]).rgb for value in present}
    )
    _write_bar(
        picture, [(labels[value].name, coding_of(value, labels[value]).rgb) for value in present], maker
    )
    with lenient():
        dataset = hd.sc.SCImage(
            pixel_array=np.asarray(picture),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=_orientation(reference),
            study_instance_uid=reference.study,
            **described("SC", mask, reference, maker),
        )
        day, time = made_at(reference, maker)
        facts = {
            "DateOfSecondaryCapture": day,
            "TimeOfSecondaryCapture": time,
            "BurnedInAnnotation": "NO",  # the text names no patient
            "DerivationDescription": DISCLAIMER,
            "Laterality": reference.header.get("Laterality") or None,
        }
        if reference.images[0].plane is None:
            facts["PatientOrientation"] = reference.header.get("PatientOrientation")
        for keyword, value in facts.items():
            setattr(dataset, keyword, value)
        stamp(dataset, reference, maker)
        save(dataset, path)


def _mosaic(
    image: Array, mask: Array, reference: ScanReference, colours: Mapping[int, tuple[int, int, int]]
) -> Image.Image:
    """Return slices side by side, from the first to the last that the mask touches, with square pixels."""
    stack, drawn = (array if array.ndim == 3 else array[:, :, None] for array in (image, mask))
    touched = np.flatnonzero(drawn.any(axis=(0, 1))) if drawn.any() else np.arange(drawn.shape[2])
    chosen = np.unique(np.linspace(touched[0], touched[-1], TILES).round().astype(int))
    size_mm = np.linalg.norm(
        reference.grid.affine[:2, :2] if image.ndim == 2 else reference.grid.affine[:3, :2], axis=0
    )
    size_mm = size_mm * stack.shape[:2]
    width, height = (max(1, round(TILE * edge / size_mm.max())) for edge in size_mm)
    shown = np.asarray(stack[:, :, chosen], np.float32)
    low, high = _window(reference, shown)
    across = math.ceil(math.sqrt(len(chosen)))
    picture = Image.new("RGB", (across * width, -(-len(chosen) // across) * height + BAR))
    for place, number in enumerate(chosen):
        grey = np.clip((shown[:, :, place].T - low) / (high - low), 0, 1) * 255
        tile = (
            Image.fromarray(grey.astype(np.uint8))
            .resize((width, height), Image.Resampling.BILINEAR)
            .convert("RGB")
        )
        outlines = Image.fromarray(np.ascontiguousarray(drawn[:, :, number].T.astype(np.uint8)))
        resized = np.asarray(outlines.resize((width, height), Image.Resampling.NEAREST))
        picture.paste(
            _outlined(np.array(tile), resized, colours), (place % across * width, place // across * height)
        )
    return picture


def _window(reference: ScanReference, shown: NDArray[np.float32]) -> tuple[float, float]:
    """Return the values shown black and white: the header's first window, unless it shows next to nothing."""
    found = [np.ravel(reference.header.get(f"Window{what}")) for what in ("Center", "Width")]
    if (
        all(len(values) and values[0] not in (None, "") for values in found)
        and (width := float(found[1][0])) > 0
    ):
        low, high = (float(found[0][0]) + sign * width / 2 for sign in (-1, 1))
        if ((shown > low) & (shown < high)).any():
            return low, high
    low, high = (float(value) for value in np.percentile(shown, (1, 99)))
    return low, max(high, low + 1.0)


def _outlined(tile: RGB, mask: RGB, colours: Mapping[int, tuple[int, int, int]]) -> Image.Image:
    """Colour the pixels of a label that have a neighbour of another one."""
    padded = np.pad(mask, 1, mode="edge")
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    edge = (mask > 0) & np.any([neighbour != mask for neighbour in around], axis=0)
    for value, colour in colours.items():
        tile[edge & (mask == value)] = colour
    return Image.fromarray(tile)


def _write_bar(picture: Image.Image, names: list[tuple[str, tuple[int, int, int]]], maker: Maker) -> None:
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    top = picture.height - BAR
    draw.text((4, top + 2), f"{DISCLAIMER}   {maker.name} {maker.version}", (255, 220, 0), font)
    at = 4.0
    for name, colour in names[:MOST_NAMES]:
        draw.text((at, top + 20), name, colour, font)
        at += draw.textlength(name, font) + 12
    if len(names) > MOST_NAMES:
        draw.text((at, top + 20), f"and {len(names) - MOST_NAMES} more", (200, 200, 200), font)


def _orientation(reference: ScanReference) -> tuple[str, str]:
    """Return where rows and columns run to, such as L and P; of a projection, only its header knows."""
    plane = reference.images[0].plane
    cosines = np.reshape(plane.cosines_lps if plane else (1, 0, 0, 0, 1, 0), (2, 3)) * LPS_TO_RAS
    said = []
    for direction in cosines:
        axis = int(np.abs(direction).argmax())
        said.append(("RL", "AP", "HF")[axis][int(direction[axis] < 0)])
    return said[0], said[1]
