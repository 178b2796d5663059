"""What a compressed frame says of its size is found, or nothing is: never something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.uid import RLELossless

from medunet.errors import DataError
from medunet.io.dicom.codestream import check_codestream, coded_size
from medunet.io.dicom.headers import Slice, read_slices
from medunet.io.results.rle import encode

Encoder = Callable[[NDArray[np.uint16]], bytes]

ENCODERS: dict[str, tuple[Encoder, int]] = {
    "JPEG": (lambda pixels: imagecodecs.jpeg8_encode(pixels.astype(np.uint8)), 8),
    "JPEG lossless": (imagecodecs.ljpeg_encode, 16),
    "JPEG lossless, 12 bits": (lambda pixels: imagecodecs.ljpeg_encode(pixels, bitspersample=12), 12),
    "JPEG-LS": (imagecodecs.jpegls_encode, 16),
    "JPEG 2000": (lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k"), 16),
    "JPEG 2000 in JP2": (lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="jp2"), 16),
}
PIXELS = np.arange(9 * 12, dtype=np.uint16).reshape(9, 12)
JPEG = imagecodecs.ljpeg_encode(PIXELS)
SOF = JPEG.index(b"\xff\xc3")
FRAME_START = JPEG[SOF : SOF + 13]  # of one component


@pytest.fixture
def plane(series: Path) -> Slice:
    (plane,) = read_slices(series / "0001.dcm")
    return replace(plane, rows=9, columns=12, bits_allocated=16, syntax="")


@pytest.mark.parametrize("name", ENCODERS)
def test_rows_columns_samples_and_bits_are_found(name: str) -> None:
    encode_, bits = ENCODERS[name]
    assert coded_size(encode_(PIXELS)) == (9, 12, 1, bits)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_frame_of_another_size_is_refused(name: str, plane: Slice) -> None:
    frame = ENCODERS[name][0](PIXELS)
    check_codestream(frame, plane)
    for wrong in ({"rows": 12, "columns": 9}, {"rows": 10}, {"columns": 11}, {"bits_allocated": 4}):
        with pytest.raises(DataError, match="is coded as 12 x 9 with 1 x") as caught:
            check_codestream(frame, replace(plane, **wrong))
        assert str(plane.path) in str(caught.value)


def test_colour_is_refused(plane: Slice) -> None:
    colour = np.zeros((9, 12, 3), np.uint8)
    for frame in (imagecodecs.jpeg8_encode(colour), imagecodecs.jpeg2k_encode(colour, codecformat="j2k")):
        with pytest.raises(DataError, match="with 3 x 8 bits"):
            check_codestream(frame, plane)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x89PNG",
        JPEG[: SOF + 6],  # cut short
        JPEG[:SOF] + JPEG[SOF + 13 :],  # no start of a frame
        JPEG[:SOF] + FRAME_START + JPEG[SOF:],  # two of them
        JPEG[:SOF] + b"\xff\x01\0\x0f" + JPEG[SOF:],  # a marker without length that would hide the next
        JPEG[:SOF] + b"\xff\xe0\0\0" + JPEG[SOF:],  # a length that is none
        JPEG[:SOF] + b"\0" + JPEG[SOF:],  # bytes that some decoders skip
        b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x01jp2c",  # JP2 with a box of no size
        b"\xff\x4f\xff\x52" + bytes(60),  # JPEG 2000 that does not begin with its size
    ],
)
def test_nothing_is_found_where_it_is_in_doubt(frame: bytes, plane: Slice) -> None:
    assert coded_size(frame) is None
    with pytest.raises(DataError, match="cannot be decoded"):
        check_codestream(frame, plane)


def test_fill_bytes_and_other_segments_are_passed(plane: Slice) -> None:
    fills = JPEG[:SOF] + b"\xff\xff\xff\xe5\0\x04ab" + JPEG[SOF:]
    assert coded_size(fills) == (9, 12, 1, 16)


def test_more_rle_than_the_picture_can_need_is_refused(plane: Slice) -> None:
    rle = replace(plane, syntax=str(RLELossless))
    noise = np.random.default_rng(0).integers(0, 2**16, (9, 12)).astype(np.uint16)
    check_codestream(encode(noise), rle)
    with pytest.raises(DataError, match="bytes of RLE"):
        check_codestream(encode(np.tile(noise, (3, 3))), rle)
