"""Every measure against numbers worked out by hand, against MONAI, and against its stated conventions."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

from medunet.metrics.pair import pair_of
from medunet.metrics.score import measure_of, names, score

NAMES = names()


def value(name: str, truth: np.ndarray, prediction: np.ndarray, spacing_mm, **more) -> float:
    return measure_of(name).measure(pair_of(truth, prediction, 1, spacing_mm, **more))


def box(shape: tuple[int, ...], *edges: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    mask[tuple(slice(a, b) for a, b in edges)] = 1
    return mask


def ball(shape: tuple[int, ...], radius_mm: float, spacing_mm: tuple[float, ...]) -> np.ndarray:
    centres = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing_mm, strict=True)]
    squares = sum(np.square(c) for c in np.meshgrid(*centres, indexing="ij"))
    return (squares <= radius_mm**2).astype(np.uint8)


def ragged(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1.2, shape)
    at = np.meshgrid(*((np.arange(n) - n / 2) for n in shape), indexing="ij")
    return (np.sqrt(sum(np.square(a) for a in at)) + noise < 6 + seed % 2).astype(np.uint8)


# Two 4 x 4 x 4 cubes, the second 2 voxels further along the first axis: half of each overlaps.
SHIFTED = box((12, 8, 8), (2, 6), (2, 6), (2, 6)), box((12, 8, 8), (4, 8), (2, 6), (2, 6))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dice", 0.5),
        ("iou", 1 / 3),
        ("volume_error_ml", 0.0),
        ("absolute_volume_error_ml", 0.0),
        # shift of 2 voxels of 1.5 mm: the far face, 16 of 56 surface voxels, is 3 mm away
        ("hd95_mm", 3.0),
    ],
)
def test_shifted_cubes(name: str, expected: float) -> None:
    assert value(name, *SHIFTED, (1.5, 1.0, 1.0)) == pytest.approx(expected)


def test_surface_distances_of_two_parallel_plates() -> None:
    # plates one voxel thick: every voxel is surface, every distance is the gap
    truth, prediction = box((9, 5, 5), (1, 2), (0, 5), (0, 5)), box((9, 5, 5), (4, 5), (0, 5), (0, 5))
    spacing_mm = (0.8, 1.0, 3.0)
    assert value("assd_mm", truth, prediction, spacing_mm) == pytest.approx(2.4)
    assert value("hd95_mm", truth, prediction, spacing_mm) == pytest.approx(2.4)
    assert value("nsd", truth, prediction, spacing_mm, tolerance_mm=2.3) == 0.0
    assert value("nsd", truth, prediction, spacing_mm, tolerance_mm=2.4) == 1.0  # 3 * 0.8 is not quite 2.4


def test_assd_weighs_both_surfaces_by_their_size() -> None:
    # one voxel against a row of five: distances 0 and (2, 1, 0, 1, 2), six surface voxels in all
    truth, prediction = box((9, 3), (4, 5), (1, 2)), box((9, 3), (2, 7), (1, 2))
    assert value("assd_mm", truth, prediction, (1.0, 1.0)) == pytest.approx(6 / 6)
    assert value("nsd", truth, prediction, (1.0, 1.0), tolerance_mm=1.0) == pytest.approx(4 / 6)
    assert value("volume_error_ml", truth, prediction, (1.0, 1.0)) == pytest.approx(0.004)


def test_concentric_balls_are_as_far_apart_as_their_radii() -> None:
    spacing_mm = (1.0, 1.0, 2.0)
    small, large = (ball((61, 61, 31), r, spacing_mm) for r in (15.0, 20.0))
    assert value("assd_mm", large, small, spacing_mm) == pytest.approx(5.0, abs=0.5)
    assert value("hd95_mm", large, small, spacing_mm) == pytest.approx(5.0, abs=1.0)
    expected_ml = 4 / 3 * math.pi * (15**3 - 20**3) / 1000
    assert value("volume_error_ml", large, small, spacing_mm) == pytest.approx(expected_ml, rel=0.02)
    assert value("absolute_volume_error_ml", large, small, spacing_mm) == pytest.approx(
        -expected_ml, rel=0.02
    )
    assert value("dice", large, small, spacing_mm) == pytest.approx(2 * 15**3 / (15**3 + 20**3), abs=0.01)


@pytest.mark.parametrize(("shape", "spacing_mm"), [((30, 26, 20), (0.8, 1.1, 2.0)), ((40, 40), (0.5, 1.5))])
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI 1.6.1 calls itself so
def test_surface_measures_agree_with_monai(shape: tuple[int, ...], spacing_mm, seed: int) -> None:
    truth, prediction = ragged(seed, shape), np.roll(ragged(seed + 10, shape), 2, axis=1)
    t, p = (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (truth, prediction))
    same = {"include_background": True, "spacing": list(spacing_mm)}
    expected = {
        "hd95_mm": compute_hausdorff_distance(p, t, percentile=95, **same),
        "assd_mm": compute_average_surface_distance(p, t, symmetric=True, **same),
        "nsd": compute_surface_dice(p, t, class_thresholds=[1.3], **same),
    }
    for name, want in expected.items():
        got = value(name, truth, prediction, spacing_mm, tolerance_mm=1.3)
        assert got == pytest.approx(float(want), rel=1e-5), name


@pytest.mark.parametrize("name", NAMES)
def test_identical_masks_are_perfect(name: str) -> None:
    truth = ragged(1, (20, 20, 20))
    best = 1.0 if measure_of(name).BETTER == "high" else 0.0
    assert value(name, truth, truth, (1.0, 1.0, 3.0)) == best


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_either_mask_is_not_counted(name: str) -> None:
    empty = np.zeros((5, 5, 5), np.uint8)
    assert math.isnan(value(name, empty, empty, (1.0, 1.0, 1.0)))


@pytest.mark.parametrize("swapped", [False, True])
def test_a_missed_or_invented_structure_scores_worst(swapped: bool) -> None:
    masks = [box((3, 4, 12), (0, 1), (0, 2), (0, 2)), np.zeros((3, 4, 12), np.uint8)]
    truth, prediction = masks[::-1] if swapped else masks
    found = {name: value(name, truth, prediction, (1.0, 1.0, 1.0)) for name in NAMES}
    assert found == {
        "dice": 0.0,
        "iou": 0.0,
        "nsd": 0.0,
        "hd95_mm": 13.0,  # 3, 4, 12: the diagonal
        "assd_mm": 13.0,
        "volume_error_ml": pytest.approx(0.004 if swapped else -0.004),
        "absolute_volume_error_ml": pytest.approx(0.004),
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_file_says_what_it_is(name: str) -> None:
    module = measure_of(name)
    assert module.TITLE
    assert module.BETTER in ("high", "low", "zero")
    assert module.measure.__doc__
    assert "both empty" in module.measure.__doc__.lower()


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(512, 512, 300), (3504, 2336)])
def test_large_images_are_scored_in_seconds(shape: tuple[int, ...]) -> None:
    truth = np.zeros(shape, np.uint8)
    truth[100:300, 120:330] = 1
    truth[310:350, 100:180] = 2
    prediction = np.roll(truth, 3, axis=1)
    start = time.process_time()
    found = score(truth, prediction, {1: "liver", 2: "kidney"}, (1.0,) * len(shape))
    assert time.process_time() - start < 20  # about 3 s of one core
    assert found.labels["liver"].values["hd95_mm"] == 3.0
