"""The baselines do what their names say, and are as good as thresholds can be."""

from __future__ import annotations

import numpy as np
import SimpleITK

from medunet.data.baselines import Windows, learn_windows, otsu
from medunet.data.phantom.ct import make_patient
from medunet.geometry import spacing_of


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (found & truth).sum() / max(1, found.sum() + truth.sum()))


def test_otsu_parts_two_humps_where_they_meet() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((40, 50), np.uint8)
    truth[10:20, 10:30] = 1
    image = np.where(truth, rng.normal(200, 10, truth.shape), rng.normal(50, 10, truth.shape))[None]
    assert np.array_equal(otsu(image), truth)
    assert np.array_equal(otsu(np.repeat(image, 3, 0)), truth)


def test_otsu_agrees_with_itk() -> None:
    image = np.random.default_rng(1).gamma(2.0, 30.0, (1, 64, 64))
    theirs = SimpleITK.OtsuThreshold(SimpleITK.GetImageFromArray(image[0]), 0, 1, 256)
    assert np.array_equal(otsu(image), SimpleITK.GetArrayFromImage(theirs))


def test_otsu_of_a_flat_image_is_empty_or_whole_but_no_error() -> None:
    assert len(np.unique(otsu(np.full((1, 8, 8), 7.0)))) == 1


def test_windows_find_a_bright_ball_and_leave_out_a_smaller_one() -> None:
    grid = np.indices((30, 30, 30)).astype(float)
    ball = np.linalg.norm(grid - 14.0, axis=0) < 7
    small = np.linalg.norm(grid - np.reshape([4, 4, 25], (3, 1, 1, 1)), axis=0) < 3
    image = np.where(ball | small, 100.0, 0.0)[None]
    windows = learn_windows([(image, ball.astype(np.uint8), (2.0, 2.0, 2.0))], [1])
    found = windows(image, (2.0, 2.0, 2.0))
    assert dice(found == 1, ball) > 0.85
    assert not (found.astype(bool) & small).any()


def test_a_label_that_no_case_has_gets_no_window() -> None:
    image, mask = np.zeros((1, 8, 8)), np.zeros((8, 8), np.uint8)
    assert learn_windows([(image, mask, (1.0, 1.0))], [1]) == Windows({})


def test_thresholds_are_clearly_not_enough_for_the_phantom() -> None:
    """Else the demo would show nothing: a network reaches 0.9 here."""
    train, held_out = [make_patient(seed) for seed in range(6)], [make_patient(seed) for seed in range(6, 9)]
    known = [(p.hu[None].astype(np.float32), p.mask, spacing_of(p.affine)) for p in train]
    windows = learn_windows(known, [1, 2, 3, 4, 5])
    scores = np.array(
        [
            [dice(found == label, p.mask == label) for label in windows.ranges]
            for p in held_out
            for found in [windows(p.hu[None].astype(np.float32), spacing_of(p.affine))]
        ]
    )
    assert scores.mean() < 0.5
    assert scores[:, 0].mean() > 0.2  # but a fair try at the liver, which is large
