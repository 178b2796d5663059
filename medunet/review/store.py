"""The masks themselves: one file for each content, named by its hash, and never changed.

masks/ab/abcd….npy.gz holds the array as numpy stores it, x fastest.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from pathlib import Path

import numpy as np
from isal import igzip, isal_zlib
from numpy.lib import format as npy

from medunet.errors import DataError
from medunet.io.volume import Array
from medunet.io.write import write_atomic

TYPES = ("uint8", "uint16")
LEVEL = 1  # of ISA-L: masks are written while a reader waits
HEADER = 1024  # bytes that hold the header of a .npy file, which is 128


def mask_sha256(array: Array) -> str:
    """Return the hash of a mask (X, Y[, Z]) of uint8 or uint16: of its type, its shape, its voxels x fastest.

    The hashed bytes are the text "uint8 512,512,300" with a line feed, then the voxels, little-endian.
    """
    if array.dtype.name not in TYPES or array.ndim not in (2, 3):
        raise DataError(
            f"a mask of type {array.dtype} and shape {array.shape} cannot be stored; expected uint8 or "
            "uint16, 2D or 3D"
        )
    digest = hashlib.sha256(f"{array.dtype.name} {','.join(map(str, array.shape))}\n".encode())
    digest.update(_x_fastest(array).T.data)
    return digest.hexdigest()


class MaskStore:
    """Masks by their content; safe for many threads and processes."""

    def __init__(self, folder: Path) -> None:
        """Keep where the files lie."""
        self.folder = folder

    def path(self, sha256: str) -> Path:
        """Return where a mask lies or would lie; DataError where that is no hash."""
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise DataError(f"{sha256[:80]!r} is no hash of a mask; expected 64 hexadecimal digits")
        return self.folder / sha256[:2] / f"{sha256}.npy.gz"

    def put(self, array: Array) -> str:
        """Store a mask (X, Y[, Z]) of uint8 or uint16, so that it outlives a power cut; return its hash.

        A file that is there already is written anew, which mends one that was damaged.
        """
        sha256 = mask_sha256(array)
        path = self.path(sha256)
        plain = _x_fastest(array)
        with (
            write_atomic(path, array.nbytes) as temporary,
            temporary.open("wb") as raw,
            igzip.IGzipFile("", "wb", LEVEL, raw, mtime=0) as stream,
        ):
            npy.write_array_header_1_0(stream, npy.header_data_from_array_1_0(plain))
            stream.write(plain.T.data)
        for folder in (path.parent, self.folder):
            _settle(folder)
        return sha256

    def get(self, sha256: str) -> Array:
        """Return a mask (X, Y[, Z]), x fastest in memory, not to be written to; DataError if damaged."""
        path = self.path(sha256)
        try:
            array = _array_of(igzip.decompress(path.read_bytes()))
        except FileNotFoundError:
            raise DataError(
                f"{path}: this mask is gone; put the file back from a copy of the folder"
            ) from None
        except (OSError, EOFError, ValueError, isal_zlib.error) as error:
            raise DataError(f"{path}: this mask is damaged ({error}); put it back from a copy") from error
        if mask_sha256(array) != sha256:
            raise DataError(f"{path}: this mask is not the one it was stored as; put it back from a copy")
        return array


def _x_fastest(array: Array) -> Array:
    return np.asfortranarray(array, array.dtype.newbyteorder("<"))


def _array_of(stored: bytes) -> Array:
    """Return the array of a .npy file, as a view that cannot be written to."""
    stream = io.BytesIO(stored[:HEADER])
    npy.read_magic(stream)
    shape, _, dtype = npy.read_array_header_1_0(stream)
    return np.frombuffer(stored, dtype, offset=stream.tell()).reshape(shape, order="F")


def _settle(folder: Path) -> None:
    """Make the names in a folder outlive a power cut, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
