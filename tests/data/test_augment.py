from __future__ import annotations

import numpy as np
import pytest
import torch

from medunet.config.recipe import Augmentation
from medunet.data.augment import Variation, draw, source_box, vary_intensity, vary_space
from tests.phantoms import ball

ALWAYS = Augmentation(
    rotate=1, scale=1, flip=1, noise=1, blur=1, brightness=1, contrast=1, low_resolution=1, gamma=1, colour=1
)
QUARTER_TURN = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def drawn(seed: int, how: Augmentation = ALWAYS, dims: int = 3) -> Variation:
    return draw(np.random.default_rng(seed), how, (1.0,) * dims, 2)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_variation_replays_exactly(dims: int):
    image = torch.randn(2, *(20,) * dims)
    mask = torch.zeros((20,) * dims, dtype=torch.uint8)
    mask[5:9] = 1
    runs = []
    for _ in range(2):
        variation = drawn(3, dims=dims)
        turned, labels = vary_space(image, mask, variation, (12,) * dims, ())
        runs.append((vary_intensity(turned, variation), labels))
    assert torch.equal(runs[0][0], runs[1][0])
    assert torch.equal(runs[0][1], runs[1][1])
    assert not torch.equal(
        vary_intensity(image, drawn(3, dims=dims)), vary_intensity(image, drawn(4, dims=dims))
    )


def test_masks_get_no_new_labels():
    mask = torch.from_numpy(np.random.default_rng(0).choice([0, 2, 5], (20, 20, 20)).astype(np.uint8))
    for seed in range(5):
        _, labels = vary_space(torch.zeros(1, 20, 20, 20), mask, drawn(seed), (16, 16, 16), ())
        assert set(labels.unique().tolist()) <= {0, 2, 5}


def test_image_and_mask_move_together():
    mask = torch.from_numpy(ball((30, 30, 30), (12, 17, 14), 5).astype(np.uint8))
    for seed in range(5):
        turned, labels = vary_space(mask[None].float(), mask, drawn(seed), (24, 24, 24), ())
        assert ((turned[0] > 0.5) != (labels > 0)).float().mean() < 0.01


def test_a_quarter_turn_is_a_quarter_turn():
    image = torch.arange(27.0).reshape(1, 3, 3, 3)
    turned, _ = vary_space(image, image[0].to(torch.uint8), Variation(matrix=QUARTER_TURN), (3, 3, 3), ())
    assert torch.allclose(turned, torch.rot90(image, 1, (1, 2)), atol=1e-4) or torch.allclose(
        turned, torch.rot90(image, -1, (1, 2)), atol=1e-4
    )


def test_rotation_in_thick_slices_keeps_lengths_in_mm():
    how = Augmentation(rotate=1, rotate_degrees=90, scale=0)
    spacing = np.array([1.0, 1.0, 5.0])
    matrix = draw(np.random.default_rng(0), how, spacing, 1).matrix
    in_mm = np.diag(spacing) @ matrix @ np.diag(1 / spacing)
    assert np.allclose(in_mm @ in_mm.T, np.eye(3))


def test_left_and_right_labels_change_places_with_a_flip():
    mask = torch.tensor([[1, 0, 3], [0, 2, 0]], dtype=torch.uint8)
    _, flipped = vary_space(mask[None].float(), mask, Variation(flips=(0,)), (2, 3), ((1, 3),))
    assert flipped.tolist() == [[0, 2, 0], [3, 0, 1]]
    _, other_axis = vary_space(mask[None].float(), mask, Variation(flips=(1,)), (2, 3), ((1, 3),))
    assert other_axis.tolist() == [[3, 0, 1], [0, 2, 0]]


def test_nothing_drawn_changes_nothing():
    never = Augmentation(
        rotate=0, scale=0, flip=0, noise=0, blur=0, brightness=0, contrast=0, low_resolution=0, gamma=0
    )
    assert drawn(0, never) == Variation()


def test_gamma_and_contrast_keep_what_they_promise():
    image = torch.rand(2, 16, 16)
    bent = vary_intensity(image, Variation(gamma=(1.5, False)))
    assert torch.allclose(bent.mean((1, 2)), image.mean((1, 2)), atol=1e-5)
    assert torch.allclose(bent.std((1, 2)), image.std((1, 2)), atol=1e-4)
    assert not torch.allclose(bent, image, atol=0.01)
    stretched = vary_intensity(image, Variation(contrast=1.25))
    assert stretched.max() <= image.max()
    assert stretched.std() > image.std()


def test_blur_keeps_the_sum_and_widens():
    image = torch.zeros(1, 15, 15, 15)
    image[0, 7, 7, 7] = 1
    blurred = vary_intensity(image, Variation(blur_voxels=1.0))
    assert blurred.sum() == pytest.approx(1, abs=1e-4)
    assert blurred[0, 7, 7, 7] == pytest.approx(0.3989**3, rel=0.02)


def test_the_box_of_a_plain_patch_is_the_patch():
    assert source_box((9.5, 9.5), (8, 8), None) == ((6, 6), (8, 8))


def test_the_box_of_a_turned_patch_holds_its_corners():
    angle = np.deg2rad(45)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    first, shape = source_box((20.0, 20.0), (9, 9), matrix)
    reach = 4 * np.sqrt(2)
    assert first[0] <= 20 - reach
    assert first[0] + shape[0] - 1 >= 20 + reach
