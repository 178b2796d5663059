"""Grain: what scans lack at fine frequencies is measured per label, added, and grids are taken out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medunet.metrics.quality.spectrum import grid_ratio, radial_power
from medunet.tasks.grain import Grain
from tests.phantoms import ball

SHAPE, CASES = (48, 48), 24
STD = (0.1, 0.4)  # of the noise in the background and in the ball
Pictures = list[NDArray[np.float32]]


def anatomy(seed: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    random = np.random.default_rng(seed)
    mask = np.zeros(SHAPE, np.uint8)
    mask[ball(SHAPE, tuple(random.uniform(18, 30, 2)), 12)] = 1
    tissue = gaussian_filter(random.normal(size=SHAPE), 4)
    return gaussian_filter(3.0 * mask, 1.5) + tissue / tissue.std(), mask


def scans(grid: float = 0.0) -> tuple[Pictures, Pictures, list[NDArray[np.uint8]]]:
    """Noisy scans, the same without noise but perhaps with a grid of period 2, and their masks."""
    real, made, masks = [], [], []
    rows = np.indices(SHAPE)
    for seed in range(CASES):
        clean, mask = anatomy(seed)
        noise = np.random.default_rng(seed + 1000).normal(size=SHAPE) * np.where(mask == 1, STD[1], STD[0])
        real.append((clean + noise)[None].astype(np.float32))
        made.append((clean + grid * (-1.0) ** rows[0])[None].astype(np.float32))
        masks.append(mask)
    return real, made, masks


def power(images: Pictures, masks: list[NDArray[np.uint8]], label: int) -> float:
    """Mean power above 0.3 cycles per voxel in a label."""
    return float(np.median([radial_power(i, m, label, edges=(0.3, 1.0)) for i, m in zip(images, masks)]))  # noqa: B905


def test_each_label_gets_the_noise_that_it_lacks() -> None:
    real, made, masks = scans()
    grain = Grain.measured(real, made, masks, 2)
    out = [grain.over(image, mask, seed) for seed, (image, mask) in enumerate(zip(made, masks, strict=True))]
    for label, std in enumerate(STD):
        assert power(made, masks, label) < 0.1 * power(real, masks, label)
        assert power(out, masks, label) == pytest.approx(power(real, masks, label), rel=0.25)
        assert np.sqrt(grain.power[label]) == pytest.approx(std, rel=0.25)
    coarse = [gaussian_filter(found[0] - image[0], 3) for found, image in zip(out, made, strict=True)]
    assert np.abs(coarse).max() < 0.05


def test_scans_that_lack_nothing_are_left_alone() -> None:
    real, _, masks = scans()
    grain = Grain.measured(real, real, masks, 2)
    assert grain.periods == ()
    assert np.array_equal(grain.over(real[0], masks[0], 1), real[0])
    noisier = [2 * image for image in real]
    assert not Grain.measured(real, noisier, masks, 2).power.any()


def test_a_grid_is_taken_out_and_the_anatomy_stays() -> None:
    real, made, masks = scans(grid=0.2)
    _, clean, _ = scans()
    grain = Grain.measured(real, made, masks, 2)
    assert grain.periods == (2,)
    out = [grain.over(image, mask, seed) for seed, (image, mask) in enumerate(zip(made, masks, strict=True))]
    assert grid_ratio(made, 2) > 20 * grid_ratio(real, 2)
    assert grid_ratio(out, 2) < 2 * grid_ratio(real, 2)
    bare = Grain(np.zeros((2, 1, 3)), (2,)).over(made[0], masks[0], 0)
    assert np.abs(bare - clean[0])[:, 2:-2, 2:-2].max() < 0.03


def test_grain_follows_from_the_seed_and_is_kept_with_the_weights() -> None:
    real, made, masks = scans()
    grain = Grain.measured(real, made, masks, 2)
    kept = Grain.of({"conv.weight": grain.state()["grain.power"]} | grain.state())
    assert kept is not None
    assert kept.periods == grain.periods
    first = grain.over(made[0], masks[0], 7)
    assert np.array_equal(first, kept.over(made[0], masks[0], 7))
    assert not np.array_equal(first, grain.over(made[0], masks[0], 8))
    assert Grain.of({"conv.weight": grain.state()["grain.power"]}) is None


def test_a_label_that_few_cases_have_gets_the_grain_of_the_whole_image() -> None:
    real, made, masks = scans()
    rare = [np.where(mask == 1, 2, 0).astype(np.uint8) for mask in masks]
    rare[0][:10, :10] = 1
    grain = Grain.measured(real, made, rare, 3)
    whole = [
        np.median([radial_power(image, edges=(0.5, 1.0)) for image in images]) for images in (real, made)
    ]
    assert grain.power[1, 0, -1] == pytest.approx(whole[0] - whole[1])
    assert grain.power[0, 0, -1] < grain.power[1, 0, -1] < grain.power[2, 0, -1]


def test_volumes_with_channels_have_grain_of_their_own() -> None:
    random = np.random.default_rng(0)
    masks = [np.zeros((20, 22, 24), np.uint8)] * 4
    smooth = [np.zeros((2, 20, 22, 24), np.float32)] * 4
    noise = np.array([0.0, 0.5])[:, None, None, None]
    real = [(noise * random.normal(size=(2, 20, 22, 24))).astype(np.float32) for _ in range(4)]
    grain = Grain.measured(real, smooth, masks, 1)
    found = grain.over(smooth[0], masks[0], 0)
    assert not found[0].any()
    fine = 0.5 * np.sqrt(1 - 4 / 3 * np.pi * 0.3**3)  # the share of white noise that is above 0.3
    assert found[1].std() == pytest.approx(fine, rel=0.1)
