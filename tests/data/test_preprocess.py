from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medunet.config.plan import ChannelStatistics, Plan
from medunet.data.preprocess import (
    from_outputs,
    network_shape,
    normalise,
    resample_image,
    resample_mask,
    statistics_of,
    to_outputs,
)
from medunet.errors import DataError
from tests.phantoms import card


def plan(**changes: object) -> Plan:
    values = {
        "dims": 3,
        "channels": 1,
        "outputs": 3,
        "spacing_mm": (1.0, 1.0, 1.0),
        "normalisation": "zscore",
        "statistics": (ChannelStatistics(mean=50, std=10, percentile_00_5=0, percentile_99_5=100),),
        "patch_voxels": (16, 16, 16),
        "batch_size": 2,
        "strides": ((1, 1, 1), (2, 2, 2)),
        "kernels": ((3, 3, 3), (3, 3, 3)),
        "features": (4, 8),
        "memory_gb": 4.0,
        "device": "cpu",
        "reasons": (),
    }
    return Plan.model_validate(values | changes)


def test_a_ramp_keeps_its_positions_in_mm_when_resampled():
    positions_mm = (np.arange(20) + 0.5) * 2.0
    ramp = np.broadcast_to(positions_mm[None, :, None, None], (1, 20, 4, 4)).astype(np.float32)
    fine = resample_image(ramp, (40, 4, 4), (2.0, 2.0, 2.0))
    expected = (np.arange(40) + 0.5) * 1.0
    assert np.allclose(fine[0, 6:-6, 0, 0], expected[6:-6], atol=0.02)


def test_thick_slices_are_repeated_not_blended():
    image = np.zeros((1, 8, 8, 3), np.float32)
    image[..., 1] = 100
    thin = resample_image(image, (8, 8, 12), (1.0, 1.0, 4.0))
    assert set(np.unique(thin)) == {0.0, 100.0}


def test_resampled_masks_keep_labels_volume_and_place():
    mask = np.zeros((30, 30, 30), np.uint8)
    mask[3:15, 5:25, 8:20] = 1
    mask[15:25, 9:21, 10:20] = 7
    fine = resample_mask(mask, (60, 60, 30))
    assert set(np.unique(fine)) == {0, 1, 7}
    for label in (1, 7):
        assert (fine == label).sum() / 4 == pytest.approx((mask == label).sum(), rel=0.03)
    centre = np.argwhere(fine == 7).mean(0)
    assert np.allclose((centre + 0.5) / (60, 60, 30), (np.argwhere(mask == 7).mean(0) + 0.5) / 30, atol=0.005)


def test_a_spacing_that_fits_is_left_alone():
    assert network_shape((35, 50, 36), (1.0, 1.004, 1.0), plan()) == (35, 50, 36)
    assert network_shape((35, 50, 36), (2.0, 1.0, 0.5), plan()) == (70, 50, 18)


def test_ct_numbers_are_clipped_and_scaled_by_the_data_set():
    image = np.array([-500.0, 50.0, 60.0, 900.0], np.float32).reshape(1, 4, 1, 1)
    assert normalise(image, plan(normalisation="ct")).ravel().tolist() == [-5.0, 0.0, 1.0, 5.0]


def test_zscore_does_not_depend_on_the_scanner_scale():
    image = np.random.default_rng(0).normal(100, 20, (1, 12, 12, 12)).astype(np.float32)
    first, second = normalise(image, plan()), normalise(image * 1000 + 5, plan())
    assert np.allclose(first, second, atol=1e-3)
    assert abs(float(first.mean())) < 1e-3
    assert float(first.std()) == pytest.approx(1, abs=1e-3)


def test_a_constant_image_becomes_zero_not_nan():
    assert not normalise(np.full((1, 4, 4, 4), 7.0, np.float32), plan()).any()


def test_label_values_survive_the_way_through_the_network():
    values = card(labels={3: {"name": "a"}, 200: {"name": "b"}})
    mask = np.array([0, 3, 200, 3], np.uint8)
    outputs = to_outputs(mask, values)
    assert outputs.tolist() == [0, 1, 2, 1]
    assert from_outputs(outputs, values).tolist() == mask.tolist()


def test_statistics_match_numpy():
    samples = np.random.default_rng(0).normal(40, 5, (5000, 1))
    (found,) = statistics_of(samples)
    assert found.mean == pytest.approx(samples.mean())
    assert found.percentile_99_5 == pytest.approx(np.percentile(samples, 99.5))


def test_a_wrong_unit_is_an_error_before_memory_is_asked_for():
    with pytest.raises(DataError, match=r"20 x 20 x 20 voxels with edges of 1000 x 1000 x 1000 mm"):
        network_shape((20, 20, 20), (1000.0, 1000.0, 1000.0), plan())


@pytest.mark.parametrize(
    ("shape", "out"), [((20, 31, 17), (41, 20, 17)), ((9, 1, 30), (9, 4, 11)), ((40, 50), (80, 31))]
)
def test_cubic_resampling_is_that_of_scipy(shape: tuple[int, ...], out: tuple[int, ...]):
    image = np.random.default_rng(0).normal(0, 100, (2, *shape)).astype(np.float32)
    factors = [n / m for n, m in zip(out, shape, strict=True)]
    expected = [ndimage.zoom(one, factors, order=3, mode="nearest", grid_mode=True) for one in image]
    found = resample_image(image, out, (1.0,) * len(shape))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)
