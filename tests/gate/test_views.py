"""What is compared: blind to contrast, and to what the mask says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from medunet.gate.near import compared
from medunet.gate.views import (
    averaged,
    factors,
    filled,
    local_contrast,
    noise,
    shells,
    turns,
    unexplained,
    view_of,
)
from tests.phantoms import two_balls


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_local_contrast_does_not_know_brightness_contrast_or_shading() -> None:
    image = two_balls(0, (40, 44))[0]
    shaded = 3 * image + np.linspace(0, 200, 44)[None] + 7
    assert correlation(local_contrast(image), local_contrast(shaded.astype(np.float32))) > 0.97
    assert np.abs(local_contrast(np.full((30, 30), 5.0, np.float32))).max() < 1e-3


def test_texture_holds_what_the_mask_does_not_explain() -> None:
    """Two images of one mask are alike, their textures are not; the texture of one image stays its own."""
    random = np.random.default_rng(0)
    mask = two_balls(0, (40, 44))[1]
    texture = [16 * ndimage.gaussian_filter(random.normal(size=mask.shape), 1.5) for _ in range(8)]
    views = [view_of((90.0 * (mask > 0) + t)[None].astype(np.float32), mask, (40, 44)) for t in texture]
    looks = [view.looks() for view in views]
    pairs = list(itertools.combinations(looks, 2))
    assert np.mean([correlation(one[0], other[0]) for one, other in pairs]) > 0.6
    assert abs(np.mean([correlation(one[1], other[1]) for one, other in pairs])) < 0.1
    noisy = view_of((90.0 * (mask > 0) + texture[0] * 1.3 + 5)[None].astype(np.float32), mask, (40, 44))
    assert correlation(looks[0][1], noisy.looks()[1]) > 0.9
    assert np.abs(noisy.looks(least=2.0)[0]).max() < np.abs(noisy.looks()[0]).max()


def test_what_is_laid_over_a_picture_is_seen_as_the_picture_is() -> None:
    """Neither gamma nor the noise of one of the two makes an image unlike itself."""
    random = np.random.default_rng(0)
    training, mask = two_balls(0, (40, 44))
    view = view_of(training[None].astype(np.float32), mask, (40, 44))
    grey, none = view.grey, np.zeros_like(view.grey)
    for other in (
        2 * ((grey - grey.min()) / np.ptp(grey)) ** 1.6 + 5,
        grey + random.normal(0, 0.05 * grey.std(), grey.shape),
    ):
        found = compared(view, other.astype(np.float32), none, none + 1, 0)
        assert found.image > 0.97
        assert found.texture > 0.9


def test_every_shell_has_mean_zero_in_what_is_left() -> None:
    image, mask = two_balls(1, (30, 32))
    left, shell = unexplained(image, shells(mask)), shells(mask)
    means = [left[shell == number].mean() for number in np.unique(shell)]
    assert np.abs(means).max() < 1e-4
    assert len(means) > 6


def test_noise_is_measured_beside_structure() -> None:
    random = np.random.default_rng(0)
    smooth = np.add.outer(np.linspace(0, 50, 64), np.linspace(0, 9, 64) ** 2)
    assert noise((smooth + random.normal(0, 2, smooth.shape)).astype(np.float32)) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("window", [(64, 64), (32, 48, 32), (250, 200, 12), (20, 20)])
def test_views_of_a_window_have_one_size(window: tuple[int, ...]) -> None:
    by = factors(window)
    size = tuple(n // k for n, k in zip(window, by, strict=True))
    assert max(size) <= {2: 48, 3: 24}[len(window)]
    image = np.random.default_rng(0).normal(size=(1, *(n - 3 for n in window))).astype(np.float32)
    view = view_of(image, (image[0] > 1).astype(np.uint8), window)
    assert view.grey.shape == view.looks()[1].shape == view.foreground.shape == size


def test_all_turns_differ_and_keep_the_shape() -> None:
    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    found = {turn.of(image).tobytes() for turn in turns((4, 4))}
    assert len(found) == 8
    volume = np.zeros((4, 6, 8), np.float32)
    assert {turn.of(volume).shape for turn in turns(volume.shape)} == {(4, 6, 8)}


def test_blocks_are_averaged_and_the_rest_left_out() -> None:
    image = np.arange(15, dtype=np.float32).reshape(3, 5)
    assert averaged(image, (2, 2)).tolist() == [[3.0, 5.0]]
    assert filled(image, (5, 5)).shape == (5, 5)
    assert filled(image, (2, 2)) is image
