import gzip

import pytest

from dashboards.pack import TooLargeError, pack, unpack
from medunet.errors import DataError


def test_what_was_packed_comes_back_and_any_gzip_reads_it():
    data = bytes(range(256)) * 40
    assert unpack(pack(data), len(data)) == data
    assert gzip.decompress(pack(data)) == data
    assert unpack(gzip.compress(data), len(data)) == data


def test_a_bomb_is_stopped_at_the_limit():
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 60_000
    with pytest.raises(TooLargeError, match="1000 bytes"):
        unpack(bomb, 1000)


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:-4], lambda b: b + b"x", lambda b: b"no gzip", lambda b: b + b, lambda b: b""]
)
def test_a_damaged_body_is_refused(spoil):
    with pytest.raises(DataError):
        unpack(spoil(pack(b"voxels" * 100)), 10_000)
