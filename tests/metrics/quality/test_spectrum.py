"""Power: the variance of white noise at every frequency and in every region; blur, noise and grids show."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from medunet.metrics.quality.spectrum import HIGH, grid_power, grid_ratio, radial_power, relative_power


def noise(shape, seed, deviation=1.0):
    return np.random.default_rng(seed).normal(0, deviation, shape)


def disc(size=32):
    x, y = np.indices((size, size)) - size / 2
    return (np.hypot(x, y) < size * 0.4).astype(np.uint8)


@pytest.mark.parametrize("shape", [(1, 32, 40), (2, 16, 17, 20)])
def test_white_noise_has_its_variance_in_every_band(shape) -> None:
    found = np.mean([radial_power(noise(shape, seed, 3.0) + 50, None) for seed in range(60)], axis=0)
    assert found[1:] == pytest.approx(9, rel=0.1)
    assert found[0] == pytest.approx(9, rel=0.35)  # its mean is taken away from the lowest


@pytest.mark.parametrize("label", [0, 1])
def test_a_region_is_measured_in_the_same_unit(label) -> None:
    mask, deviation = disc(), np.where(disc() == label, 2.0, 30.0)
    images = [noise((1, 32, 32), seed) * deviation for seed in range(80)]
    found = np.mean([radial_power(image, mask, label) for image in images], axis=0)
    assert found[1:] == pytest.approx(4, rel=0.15)


def test_a_wave_is_in_the_band_of_its_frequency() -> None:
    wave = np.sin(2 * np.pi * 0.3 * np.arange(64))[:, None] * np.ones(64)
    power = radial_power(wave[None])
    assert power.argmax() == 2
    assert power[2] > 1000 * np.delete(power, 2).max()


def test_relative_power_tells_noise_from_blur() -> None:
    def rows(change):
        return np.stack([radial_power(change(noise((1, 32, 32), seed))) for seed in range(30)])

    plain = rows(lambda x: x)
    more = relative_power(rows(lambda x: 2 * x), plain)
    less = relative_power(rows(lambda x: gaussian_filter(x, (0, 1, 1))), plain)
    same = relative_power(np.stack([radial_power(noise((1, 32, 32), s)) for s in range(99, 129)]), plain)
    assert more[0] == pytest.approx(4)
    assert (less[2, HIGH:] < 0.5).all()
    assert (same[1] < 1.1).all()
    assert (same[2] > 0.9).all()
    assert same[2] / same[1] == pytest.approx(1.3, abs=0.35)


def test_a_region_that_is_nowhere_is_nan() -> None:
    power = radial_power(noise((1, 16, 16), 0), np.zeros((16, 16), int), 2)
    assert np.isnan(power).all()
    assert np.isnan(relative_power(np.stack([power] * 3), np.ones((5, 4)))).all()


def gridded(image, period, height):
    seams = (np.indices(image.shape[1:]) % period == 0).any(axis=0)
    return image + height * seams


@pytest.mark.parametrize("shape", [(1, 48, 45), (1, 24, 20, 22)])
def test_no_grid_no_peak(shape) -> None:
    images = [gaussian_filter(noise(shape, seed), (0, *[0.5] * (len(shape) - 1))) for seed in range(40)]
    assert grid_ratio(images, 2) == pytest.approx(1, abs=0.45)
    assert grid_ratio(images, 4) == pytest.approx(1, abs=0.3)


@pytest.mark.parametrize("shape", [(1, 48, 45), (1, 24, 20, 22)])
@pytest.mark.parametrize("period", [2, 4])
def test_a_faint_grid_shows_at_its_own_period(shape, period) -> None:
    plain = [noise(shape, seed) for seed in range(20)]
    found = grid_ratio([gridded(image, period, 0.5) for image in plain], period)
    assert found > 2 * grid_ratio(plain, period)


def test_a_grid_of_two_is_none_of_four() -> None:
    images = [gridded(noise((1, 64, 64), seed), 2, 0.5) for seed in range(20)]
    assert grid_ratio(images, 2) > 10
    assert grid_ratio(images, 4) == pytest.approx(1, abs=0.3)


def test_a_grid_in_one_region_shows_there_only() -> None:
    mask = disc(64)
    plain = [noise((1, 64, 64), seed) for seed in range(20)]
    images = [np.where(mask == 1, gridded(image, 4, 0.6), image) for image in plain]
    assert grid_ratio(images, 4, [mask] * 20, 1) > 3
    assert grid_ratio(images, 4, [mask] * 20, 0) < 1.6


def test_a_region_too_small_for_a_grid_is_nan() -> None:
    mask = np.zeros((40, 40), np.uint8)
    mask[:12, :12] = 1
    assert np.isnan(grid_power(noise((1, 40, 40), 0), 4, mask, 1)).all()
    assert np.isnan(grid_ratio([noise((1, 40, 40), 0)], 4, [mask], 1))
    assert np.isfinite(grid_power(noise((1, 40, 40), 0), 2, mask, 1)).all()
