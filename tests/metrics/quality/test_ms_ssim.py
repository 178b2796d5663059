"""Variety within a set: 1 for equal images, MONAI's value for a pair, and a rise when a set collapses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics.regression import MultiScaleSSIMMetric

from medunet.errors import DataError
from medunet.metrics.quality.ms_ssim import diversity, pairwise_ms_ssim, scales


def test_equal_images_are_alike_and_noise_is_not() -> None:
    one = np.random.default_rng(0).random((1, 1, 32, 32))
    assert pairwise_ms_ssim(np.repeat(one, 3, axis=0)) == pytest.approx(np.ones((3, 3)), abs=1e-5)
    noise = np.random.default_rng(1).random((4, 1, 32, 32))
    assert pairwise_ms_ssim(noise)[np.triu_indices(4, 1)].max() < 0.3


def test_large_pictures_get_the_five_scales_of_the_paper() -> None:
    random = np.random.default_rng(2)
    first = random.random((1, 1, 180, 180))
    second = np.clip(first + 0.2 * random.normal(size=first.shape), 0, 1)
    expected = MultiScaleSSIMMetric(2, data_range=1.0)(*(torch.as_tensor(i).float() for i in (first, second)))
    weights = sum((0.0448, 0.2856, 0.3001, 0.2363, 0.1333))  # 1.0001 in the paper, 1 here
    found = pairwise_ms_ssim(np.concatenate([first, second]))[0, 1]
    assert found == pytest.approx(float(expected) ** (1 / weights), abs=1e-4)


@pytest.mark.parametrize(
    "shape", [(256, 200), (64, 64), (40, 30), (16, 16), (8, 9), (3, 3), (35, 51, 35), (9, 8, 7)]
)
def test_every_size_has_scales_that_monai_takes(shape) -> None:
    levels, kernel = scales(shape)
    image = np.random.default_rng(3).random((2, 1, *shape))
    assert np.isfinite(pairwise_ms_ssim(image)).all()
    assert levels >= (3 if min(shape) >= 28 else 1)
    assert kernel % 2 == 1


def test_a_picture_of_two_voxels_has_no_structure() -> None:
    with pytest.raises(DataError, match="larger images"):
        scales((2, 40))


def test_collapse_raises_it_and_more_of_the_same_does_not(real, good, collapsed) -> None:
    same, narrow = diversity(real[0], good[0]), diversity(real[0], collapsed[0])
    assert same.difference_ci95[0] < 0.02
    assert abs(same.difference) < 0.05
    assert narrow.difference == pytest.approx(narrow.synthetic - narrow.real)
    assert narrow.difference > 0.1
    assert narrow.difference_ci95[0] > 0.02
    assert narrow.real == same.real


def test_an_image_drawn_twice_is_no_pair(real) -> None:
    images = np.stack(real[0][:8])
    low, high = np.percentile(images, [0.5, 99.5])
    square = pairwise_ms_ssim(np.clip((images - low) / (high - low), 0, 1))
    found = diversity(list(images), list(images))
    assert found.real == pytest.approx(square[np.triu_indices(8, 1)].mean(), abs=1e-5)
    assert found.difference == pytest.approx(0, abs=1e-5)
    assert found.difference_ci95[0] < 0 < found.difference_ci95[1]


def test_images_of_different_sizes_are_cut_to_their_middle(real) -> None:
    padded = [np.pad(image, ((0, 0), (i % 3, i % 3), (0, 0))) for i, image in enumerate(real[0])]
    found = diversity(padded, real[0])
    assert found.synthetic == pytest.approx(found.real)
    assert found.as_json()["difference_ci95"] == list(found.difference_ci95)


def test_two_images_are_too_few(real) -> None:
    with pytest.raises(DataError, match="2 synthetic"):
        diversity(real[0], real[0][:2])
