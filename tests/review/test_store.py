from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from medunet.errors import DataError
from medunet.review.store import MaskStore, mask_sha256


def test_the_hash_is_of_type_shape_and_voxels_x_fastest():
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    expected = hashlib.sha256(b"uint8 2,3,4\n" + array.ravel(order="F").tobytes()).hexdigest()
    assert mask_sha256(array) == expected
    assert mask_sha256(np.asfortranarray(array)) == expected
    assert mask_sha256(array[::-1]) != expected
    same = np.zeros((2, 3), np.uint8)
    others = [same.T, same.astype(np.uint16), np.zeros((3, 2, 1), np.uint8)]
    assert len({mask_sha256(one) for one in [same, *others]}) == 4
    wide = np.array([[1, 258]], np.uint16)
    assert mask_sha256(wide) == mask_sha256(wide.astype(">u2"))


@pytest.mark.parametrize("shape", [(3, 4, 5), (7, 2), (1, 1, 1)])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_a_mask_comes_back_as_it_was(tmp_path: Path, shape: tuple[int, ...], kind: str):
    array = np.random.default_rng(0).integers(0, np.iinfo(kind).max, shape, endpoint=True).astype(kind)
    store = MaskStore(tmp_path)
    sha256 = store.put(array)
    found = store.get(sha256)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    assert found.flags.f_contiguous
    assert not found.flags.writeable
    with gzip.open(store.path(sha256)) as stream:
        np.testing.assert_array_equal(np.load(stream), array)  # any numpy reads it
    assert [path.name for path in tmp_path.rglob("*.gz")] == [f"{sha256}.npy.gz"]


def test_what_cannot_be_a_mask_is_refused(tmp_path: Path):
    for array in (np.zeros((2, 2), np.int16), np.zeros((2, 2), bool), np.zeros(3, np.uint8)):
        with pytest.raises(DataError, match="expected uint8 or"):
            MaskStore(tmp_path).put(array)
    for name in ("../../etc/passwd", "A" * 64, "a" * 63):
        with pytest.raises(DataError, match="no hash"):
            MaskStore(tmp_path).get(name)


def test_damage_is_found_and_mended_by_the_same_mask(tmp_path: Path):
    store, array = MaskStore(tmp_path), np.eye(9, dtype=np.uint8)
    path = store.path(store.put(array))
    other = store.path(store.put(array[::-1])).read_bytes()
    whole = path.read_bytes()
    turned = bytearray(whole)
    turned[len(whole) // 2] ^= 1
    for damaged in (whole[:-9], bytes(turned), b"", other, b"not gzip"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="damaged|not the one"):
            store.get(mask_sha256(array))
    assert store.put(array) == mask_sha256(array)
    np.testing.assert_array_equal(store.get(mask_sha256(array)), array)
    path.unlink()
    with pytest.raises(DataError, match="gone"):
        store.get(mask_sha256(array))
