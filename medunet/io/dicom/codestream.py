"""What a compressed frame says of its own size, before a decoder sees it.

Decoders believe the codestream, not the DICOM header: a kilobyte may unfold to gigabytes, or to rows of
another length, which would be read as a scrambled picture.
"""

from __future__ import annotations

import struct

from pydicom.uid import RLELossless

from medunet.errors import DataError
from medunet.io.dicom.headers import Slice

Size = tuple[int, int, int, int]  # rows, columns, samples, bits of a sample

# Start-of-frame markers of JPEG (ITU-T T.81 table B.1) and of JPEG-LS (T.87 C.2.2).
FRAME_STARTS = ({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}) | {0xF7}
SCAN_START = 0xDA
JP2_SIGNATURE = b"\0\0\0\x0cjP  "
RLE_WORST = 2  # bytes of an encoder that makes a run of every single byte
RLE_SLACK = 128  # header and padding


def check_codestream(frame: bytes, plane: Slice) -> None:
    """Refuse a frame that would not decode to the rows, columns and bits of its header."""
    where = f"{plane.path}: frame {plane.frame + 1}"
    if plane.syntax == RLELossless:  # names no size: bound by what the picture can need
        most = plane.rows * plane.columns * (plane.bits_allocated // 8) * RLE_WORST + RLE_SLACK
        if len(frame) > most:
            raise DataError(f"{where} has {len(frame)} bytes of RLE; expected at most {most}; fetch it again")
        return
    size = coded_size(frame)
    if size is None:
        raise DataError(
            f"{where}: the pixels cannot be decoded: no JPEG, JPEG-LS or JPEG 2000 that says its size; "
            "export it again"
        )
    rows, columns, samples, bits = size
    if (rows, columns, samples) != (plane.rows, plane.columns, 1) or not 1 <= bits <= plane.bits_allocated:
        raise DataError(
            f"{where} is coded as {columns} x {rows} with {samples} x {bits} bits; its header declares "
            f"{plane.columns} x {plane.rows} with 1 x {plane.bits_allocated}. One is wrong; fetch it again"
        )


def coded_size(frame: bytes) -> Size | None:
    """Return what a JPEG, JPEG-LS or JPEG 2000 stream declares; None where that is not beyond doubt.

    Strict on purpose: where two readers may understand a stream differently, one of them can be misled.
    """
    try:
        return _of_jpeg(frame) if frame[:2] == b"\xff\xd8" else _of_jpeg_2000(_codestream(frame))
    except (IndexError, struct.error):
        return None


def _of_jpeg(frame: bytes) -> Size | None:
    found: list[Size] = []
    at = 2
    while frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == SCAN_START:
            return found[0] if len(found) == 1 else None
        (length,) = struct.unpack_from(">H", frame, at + 2)
        if marker < 0xC0 or 0xD0 <= marker <= 0xD9 or length < 2:  # markers without a segment
            return None
        if marker in FRAME_STARTS:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", frame, at + 4)
            found.append((rows, columns, samples, bits))
        at += 2 + length
    return None


def _codestream(frame: bytes) -> bytes:
    """Return the start of the codestream in a JP2 file (T.800 I.4), which DICOM forbids and some write."""
    if frame[:8] != JP2_SIGNATURE:
        return frame
    at = 0
    while frame[at + 4 : at + 8] != b"jp2c":
        (length,) = struct.unpack_from(">L", frame, at)
        if length < 8:
            return b""
        at += length
    return frame[at + 8 : at + 64]


def _of_jpeg_2000(stream: bytes) -> Size | None:
    """Read the SIZ segment, which must follow the start of the codestream (T.800 A.5.1)."""
    if stream[:4] != b"\xff\x4f\xff\x51":
        return None
    right, bottom, left, top = struct.unpack_from(">LLLL", stream, 8)
    samples, depth, *steps = struct.unpack_from(">HBBB", stream, 40)
    return (bottom - top, right - left, samples, (depth & 0x7F) + 1) if steps == [1, 1] else None
