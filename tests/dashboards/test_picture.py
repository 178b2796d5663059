from pathlib import Path

import numpy as np
import pytest

from dashboards.picture import middle_out, picture_of, slab_bytes
from medunet.io.volume import Grid, Volume


def volume(array, affine=None):
    affine = np.eye(array.ndim) if affine is None else affine
    return Volume(array, affine, Grid.of(array.shape[1:], affine), Path("phantom.nii.gz"))


@pytest.mark.parametrize(("n", "order"), [(1, [0]), (2, [0, 1]), (5, [2, 1, 3, 0, 4])])
def test_slabs_come_from_the_middle(n, order):
    assert middle_out(n) == order


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0, 255], "uint8"),
        ([-1024, 3071], "int16"),
        ([0, 60000], "uint16"),
        ([0.25, 1.5], "float32"),
        ([-1, 60000], "float32"),
    ],
)
def test_the_smallest_type_that_holds_every_value_is_chosen(values, dtype):
    array = np.resize(np.array(values, np.float32), (1, 4, 3, 2))
    picture = picture_of(volume(array), "MR")
    sent = np.frombuffer(slab_bytes(volume(array), picture, slice(0, 2)), np.dtype(picture.dtype))
    assert picture.dtype == dtype
    np.testing.assert_array_equal(sent * picture.slope + picture.intercept, array.ravel(order="F"))


def test_a_large_image_in_fractions_is_sent_in_steps(monkeypatch):
    monkeypatch.setattr("dashboards.picture.EXACT_FLOATS", 10)
    array = np.linspace(-1, 2, 1000, dtype=np.float32).reshape(1, 10, 10, 10)
    picture = picture_of(volume(array), "MR")
    sent = np.frombuffer(slab_bytes(volume(array), picture, slice(0, 10)), np.uint16)
    back = sent * picture.slope + picture.intercept
    assert np.abs(back - array.ravel(order="F")).max() <= 3 / 65535


def test_channels_follow_each_other_with_x_fastest():
    array = np.arange(3 * 4 * 5 * 6, dtype=np.float32).reshape(3, 4, 5, 6)
    picture = picture_of(volume(array), "MR")
    sent = np.frombuffer(slab_bytes(volume(array), picture, slice(2, 4)), np.dtype(picture.dtype))
    assert sent.reshape(3, 2, 5, 4)[2, 1, 3, 1] == array[2, 1, 3, 3]


def test_a_picture_has_one_slice_and_lies_in_space():
    affine = np.array([[0.5, 0, 7], [0, 0.25, 8], [0, 0, 1]])
    picture = picture_of(volume(np.zeros((3, 6, 4), np.float32), affine), "microscopy")
    assert picture.shape == (6, 4, 1)
    assert picture.channels == 3
    assert picture.affine == [[0.5, 0, 0, 7], [0, 0.25, 0, 8], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_slabs_cover_every_slice_once(monkeypatch):
    monkeypatch.setattr("dashboards.picture.SLAB_BYTES", 4 * 4 * 3)
    picture = picture_of(volume(np.zeros((1, 4, 4, 10), np.float32)), "MR")
    planes = [z for slab in range(picture.slabs) for z in range(10)[picture.planes(slab)]]
    assert (picture.thickness, picture.slabs, planes) == (3, 4, list(range(10)))
