"""Grain: scans are given the fine noise of a training scan of their kind, and lose the grid of a network."""

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
UNKNOWN = np.empty((CASES, 0), np.float32)
NOTHING = np.empty(0, np.float32)
Pictures = list[NDArray[np.float32]]
Masks = list[NDArray[np.uint8]]


def anatomy(seed: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    random = np.random.default_rng(seed)
    mask = np.zeros(SHAPE, np.uint8)
    mask[ball(SHAPE, tuple(random.uniform(18, 30, 2)), 12)] = 1
    tissue = gaussian_filter(random.normal(size=SHAPE), 4)
    return gaussian_filter(3.0 * mask, 1.5) + tissue / tissue.std(), mask


def scans(grid: float = 0.0) -> tuple[Pictures, Pictures, Masks]:
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


def laid_over(grain: Grain, made: Pictures, masks: Masks) -> Pictures:
    return [grain.over(i, m, NOTHING, seed) for seed, (i, m) in enumerate(zip(made, masks, strict=True))]


def power(images: Pictures, masks: Masks, label: int) -> float:
    """Median power above 0.3 cycles per voxel in a label."""
    pairs = zip(images, masks, strict=True)
    return float(np.median([radial_power(i, m, label, edges=(0.3, 1.0)) for i, m in pairs]))


def test_each_label_gets_the_noise_that_it_lacks() -> None:
    real, made, masks = scans()
    out = laid_over(Grain.measured(real, masks, UNKNOWN, 2, 2), made, masks)
    for label in range(2):
        assert power(made, masks, label) < 0.1 * power(real, masks, label)
        assert power(out, masks, label) == pytest.approx(power(real, masks, label), rel=0.25)
    coarse = [gaussian_filter(found[0] - image[0], 3) for found, image in zip(out, made, strict=True)]
    assert np.abs(coarse).max() < 0.08


def test_scans_that_lack_nothing_are_left_alone() -> None:
    real, _, masks = scans()
    noisier = [4 * image for image in real]
    grain = Grain.measured(real, masks, UNKNOWN, 2, 2)
    assert all(map(np.array_equal, laid_over(grain, noisier, masks), noisier))


def test_a_grid_is_taken_out_and_the_anatomy_stays() -> None:
    real, made, masks = scans(grid=0.2)
    _, clean, _ = scans()
    grain = Grain.measured(real, masks, UNKNOWN, 2, patch=2)
    assert grid_ratio(made, 2) > 20 * grid_ratio(real, 2)
    assert grid_ratio(laid_over(grain, made, masks), 2) < 2 * grid_ratio(real, 2)
    silent = Grain(np.zeros_like(grain.power), grain.mixing, grain.codes, grain.grids)
    bare = silent.over(made[0], masks[0], NOTHING, 0)
    assert np.abs(bare - clean[0])[:, 2:-2, 2:-2].max() < 0.03
    assert np.array_equal(silent.over(clean[0], masks[0], NOTHING, 0), clean[0])
    whole = Grain.measured(real, masks, UNKNOWN, 2, patch=1)  # this network folds nothing: the grid is real
    assert grid_ratio(laid_over(whole, made, masks), 2) > 5 * grid_ratio(real, 2)


def test_grain_follows_from_the_seed_and_is_kept_with_the_weights() -> None:
    real, made, masks = scans()
    grain = Grain.measured(real, masks, UNKNOWN, 2, 2)
    kept = Grain.of(grain.state())
    assert kept is not None
    first = grain.over(made[0], masks[0], NOTHING, 7)
    assert np.array_equal(first, kept.over(made[0], masks[0], NOTHING, 7))
    assert not np.array_equal(first, grain.over(made[0], masks[0], NOTHING, 8))
    assert Grain.of({"conv.weight": grain.state()["grain.power"]}) is None


def test_a_kind_of_scan_has_its_own_grain() -> None:
    """Half of the scans are quiet: nothing of the others' noise may come into a quiet one."""
    real, made, masks = scans()
    quiet = [i % 2 for i in range(CASES)]
    real = [clean if still else noisy for clean, noisy, still in zip(made, real, quiet, strict=True)]
    codes = np.array([[float(still), np.nan] for still in quiet], np.float32)
    grain = Grain.measured(real, masks, codes, 2, 2)
    still, loud = (
        [grain.over(made[0], masks[0], np.array([kind, 3.0], np.float32), seed) for seed in range(8)]
        for kind in (1, 0)
    )
    assert np.std(np.array(still) - made[0]) < 0.02
    assert np.std(np.array(loud) - made[0]) > 0.1


def test_a_label_that_is_too_small_to_measure_has_the_grain_of_the_whole_image() -> None:
    real, made, masks = scans()
    rare = [np.where(mask == 1, 2, 0).astype(np.uint8) for mask in masks]
    for mask in rare:
        mask[:4, :4] = 1
    grain = Grain.measured(real, rare, UNKNOWN, 3, 2)
    assert np.isnan(grain.power[:, 2]).all()
    found = np.std(
        [a[0, :4, :4] - b[0, :4, :4] for a, b in zip(laid_over(grain, made, rare), made, strict=True)]
    )
    assert STD[0] / 2 < found < STD[1]


@pytest.mark.parametrize("grey", [True, False])
def test_noise_is_as_alike_in_the_channels_as_in_real_scans(grey: bool) -> None:
    random = np.random.default_rng(0)
    shape = (3, 20, 22, 24)
    noise = [np.broadcast_to(random.normal(size=(1, *shape[1:])), shape) for _ in range(4)]
    if not grey:
        noise = [random.normal(size=shape) * np.array([0.0, 0.5, 1.0])[:, None, None, None] for _ in range(4)]
    mask = np.zeros(shape[1:], np.uint8)
    grain = Grain.measured([n.astype(np.float32) for n in noise], [mask] * 4, UNKNOWN[:4], 1, 2)
    found = grain.over(np.zeros(shape, np.float32), mask, NOTHING, 0)
    fine = np.sqrt(1 - 4 / 3 * np.pi * 0.3**3)  # the share of white noise that is above 0.3
    if grey:
        assert np.ptp(found, axis=0).max() < 1e-5
        assert found[0].std() == pytest.approx(fine, rel=0.1)
    else:
        assert not found[0].any()
        assert found[1].std() == pytest.approx(0.5 * fine, rel=0.1)
        assert abs(np.corrcoef(found[1].ravel(), found[2].ravel())[0, 1]) < 0.1
