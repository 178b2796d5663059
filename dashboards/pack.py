"""Bytes that travel compressed: gzip fast, and unpack no more than was expected."""

from __future__ import annotations

import zlib

from isal import igzip, isal_zlib

from medunet.errors import DataError

LEVEL = 1  # of ISA-L: a slab is packed while somebody waits for it


class TooLargeError(DataError):
    """A body holds more than the server takes."""


def pack(data: bytes) -> bytes:
    """Return data as one gzip member."""
    return igzip.compress(data, LEVEL)


def unpack(data: bytes, limit: int) -> bytes:
    """Return what a gzip member holds; TooLargeError beyond `limit` bytes, DataError where it is damaged."""
    stream = isal_zlib.decompressobj(wbits=31)
    try:
        out = stream.decompress(data, limit + 1)
    except (isal_zlib.error, zlib.error) as error:  # type: ignore[misc] # a class; isal's stub says otherwise
        raise DataError(f"the body is not gzip ({error}); send it with Content-Encoding: gzip") from error
    if len(out) > limit:
        raise TooLargeError(f"the body unpacks to more than the {limit} bytes that were expected")
    if not stream.eof or stream.unused_data:
        raise DataError("the gzip body is cut short or followed by something; send it again")
    return out
