import gzip
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dashboards.voxels import VoxelCache
from medunet.errors import DataError
from medunet.io.read import read_image
from medunet.io.write import write_image
from medunet.review.cases import get_case


@pytest.fixture
def cache(reading, monkeypatch):
    monkeypatch.setattr("dashboards.picture.SLAB_BYTES", 22 * 24 * 2 * 6)  # four slabs of at most six slices
    return reading.desk.voxels


def test_the_slabs_together_are_the_image(reading, cache):
    case = get_case(reading.desk.room, reading.case_3d)
    expected = read_image(Path(case.images[0])).array[0].ravel(order="F")
    picture = cache.picture(case)
    assert (picture.dtype, picture.slabs, picture.thickness) == ("int16", 4, 6)
    sent = b"".join(gzip.decompress(cache.slab(case, str(number))) for number in range(4))
    np.testing.assert_array_equal(np.frombuffer(sent, np.int16), expected)
    assert gzip.decompress(cache.slab(case, "all")) == sent


def test_an_image_is_read_once_whoever_asks(reading, cache, monkeypatch):
    case, read = get_case(reading.desk.room, reading.case_3d), []

    def counted(case):
        read.append(case.id)
        return real(case)

    from dashboards import voxels

    real = voxels.read_volume
    monkeypatch.setattr("dashboards.voxels.read_volume", counted)
    threads = [threading.Thread(target=cache.slab, args=(case, str(i % 4))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [case.id]
    again = VoxelCache(cache.folder, 10**9)  # after a restart nothing is read again
    assert again.slab(case, "3") == cache.slab(case, "3")
    again.close()
    assert read == [case.id]


def test_prepare_packs_in_the_background(reading, cache):
    case = get_case(reading.desk.room, reading.case_3d)
    cache.prepare(case)
    cache.close()  # waits for what is under way
    assert len(list((cache.folder / cache.key(case)).glob("*.gz"))) == 4


@pytest.mark.parametrize("part", ["4", "-1", "", "1.gz", "../0", "²"])
def test_other_names_are_no_slabs(reading, cache, part):
    with pytest.raises(DataError, match="no slab"):
        cache.slab(get_case(reading.desk.room, reading.case_3d), part)


def test_a_missing_image_is_told_to_everyone_who_asks_and_can_come_back(reading, cache, tmp_path):
    case = get_case(reading.desk.room, reading.case_3d)
    path = Path(shutil.copy(case.images[0], tmp_path))
    gone = replace(case, images=(str(tmp_path / "gone.nii.gz"),))
    for _ in range(2):
        with pytest.raises(DataError, match="gone"):
            cache.slab(gone, "0")
    path.rename(gone.images[0])
    assert cache.slab(gone, "0")


def test_an_image_of_another_shape_is_refused(reading, cache):
    case = replace(get_case(reading.desk.room, reading.case_3d), shape=(22, 24, 21))
    with pytest.raises(DataError, match="shape"):
        cache.picture(case)


def test_uncertainty_is_sent_as_bytes_of_0_to_255(reading, cache, tmp_path):
    path = tmp_path / "map.nii.gz"
    values = np.linspace(0, 1, 22 * 24 * 20, dtype=np.float32).reshape(22, 24, 20)
    write_image(path, values, np.eye(4))
    case = replace(get_case(reading.desk.room, reading.case_3d), uncertainty_map=str(path))
    sent = np.frombuffer(gzip.decompress(cache.uncertainty(case)), np.uint8)
    np.testing.assert_array_equal(sent, np.rint(values * 255).astype(np.uint8).ravel(order="F"))


def test_the_folder_stays_below_its_limit(reading, cache):
    for case_id in (reading.case_3d, reading.case_2d):
        case, small = get_case(reading.desk.room, case_id), VoxelCache(cache.folder, 1)
        small.prepare(case)
        small.close()  # waits for what is under way
    assert [folder.name for folder in cache.folder.iterdir()] == [cache.key(case)]
