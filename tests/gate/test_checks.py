"""Each check lets real-like samples through and refuses what it is for, with a reason."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medunet.config.attributes import Attribute
from medunet.config.gate import GateSettings
from medunet.errors import ConfigError
from medunet.gate.agreement import Yardstick, compare, judge, thick
from medunet.gate.duplicates import duplicates
from medunet.gate.hull import outside
from medunet.gate.intensity import Intensities
from medunet.gate.membership import membership
from medunet.gate.plausibility import plausibility
from medunet.gate.spectrum import Spectra
from medunet.gate.views import view_of
from medunet.shapes.repair import rules_of
from tests.phantoms import ball, two_balls

NAMES = ("bright", "middling")


def pairs(seeds: range, shape: tuple[int, ...] = (40, 44)) -> tuple[list[np.ndarray], list[np.ndarray]]:
    found = [two_balls(seed, shape) for seed in seeds]
    return [image[None] / 20 for image, _ in found], [mask for _, mask in found]


# ---------------------------------------------------------------------------------------------- intensity


def test_intensities_of_unseen_cases_pass_and_a_drift_of_one_label_does_not() -> None:
    known = Intensities.of(*pairs(range(40)), 3)
    images, masks = pairs(range(100, 110))
    checks = [known.check(image, mask, NAMES, 6.0) for image, mask in zip(images, masks, strict=True)]
    assert all(check.passed for check in checks)
    image, mask = images[0].copy(), masks[0]
    image[0][mask == 2] += 2.0
    found = known.check(image, mask, NAMES, 6.0)
    assert not found.passed
    assert found.number is not None
    assert found.number > 6
    assert "middling" in found.reason
    assert "sigma" in found.reason


@pytest.mark.parametrize("change", ["wider", "skewed", "clipped"])
def test_more_than_the_median_is_compared(change: str) -> None:
    known = Intensities.of(*pairs(range(40)), 3)
    (image,), (mask,) = pairs(range(100, 101))
    background = image[0][mask == 0]
    if change == "wider":
        background = background * 2.5
    elif change == "skewed":
        background = np.where(background > 0.3, background * 8, background)
    else:
        background = np.clip(background, -0.05, 0.05)
    image[0][mask == 0] = background
    assert not known.check(image, mask, NAMES, 6.0).passed


def test_a_second_kind_of_image_is_real_too() -> None:
    """One case in five is of another stain: the spread of both counts, not the larger part's alone."""
    images, masks = pairs(range(40))
    images = [image + 5 * (n % 5 == 0) for n, image in enumerate(images)]
    known = Intensities.of(images, masks, 3)
    (other,), (mask,) = pairs(range(100, 101))
    assert known.check(other + 5, mask, NAMES, 6.0).passed
    assert not known.check(other + 25, mask, NAMES, 6.0).passed


def test_a_label_without_voxels_is_not_compared() -> None:
    known = Intensities.of(*pairs(range(10)), 3)
    (image,), (mask,) = pairs(range(100, 101))
    assert known.check(image, np.where(mask == 2, 0, mask).astype(np.uint8), NAMES, 60.0).passed


def test_labels_that_no_real_case_has_are_not_said_to_be_like_real_ones() -> None:
    images = [np.random.default_rng(seed).normal(size=(1, 8, 8)).astype(np.float32) for seed in range(6)]
    known = Intensities.of(images, [np.zeros((8, 8), np.uint8)] * 6, 2)
    check = known.check(images[0], np.ones((8, 8), np.uint8), ["a"], 6.0)
    assert (check.number, check.reason) == (None, "nothing to compare")


# ----------------------------------------------------------------------------------------------- spectrum


def test_specks_blur_and_a_grid_are_refused() -> None:
    settings = GateSettings()
    known = Spectra.of(*pairs(range(40), (64, 64)), 3)
    images, masks = pairs(range(100, 106), (64, 64))
    for image, mask in zip(images, masks, strict=True):
        assert known.check(image, mask, NAMES, settings).passed
    image, mask = images[0], masks[0]
    noisy = image + np.random.default_rng(0).normal(0, 1, image.shape)
    blurred = ndimage.gaussian_filter(image, (0, 1, 1))
    grid = image + 0.5 * (np.indices(mask.shape).sum(0) % 2)
    said = [
        known.check(changed.astype(np.float32), mask, NAMES, settings) for changed in (noisy, blurred, grid)
    ]
    assert [check.passed for check in said] == [False, False, False]
    assert "more power" in said[0].reason
    assert "less power" in said[1].reason
    assert "grid of period 2" in said[2].reason


# ------------------------------------------------------------------------------------------- plausibility


def test_a_mask_that_no_patient_has_is_refused() -> None:
    masks = [two_balls(seed, (40, 44))[1] for seed in range(30)]
    rules = rules_of(masks, (1.0, 1.0))
    assert plausibility(masks[3], rules, (1.0, 1.0)).passed
    broken = masks[3].copy()
    broken[ball((40, 44), (35, 5), 3)] = 1
    found = plausibility(broken, rules, (1.0, 1.0))
    assert not found.passed
    assert "piece" in found.reason


# ---------------------------------------------------------------------------------------------- agreement


def test_a_rim_is_no_local_fault_and_a_missing_part_is() -> None:
    mask = two_balls(0, (40, 44))[1]
    rim = ndimage.binary_dilation(mask == 1)
    assert not thick(rim & (mask != 1)).any()
    found = compare(mask, np.where(mask == 2, 0, mask).astype(np.uint8), 3)
    assert found.weights is not None
    assert set(np.unique(found.weights)) == {0, 1}
    assert found.weights[mask == 1].all()
    assert found.weights[mask == 2].mean() < 0.3
    assert found.ignored == pytest.approx(float((found.weights[mask > 0] == 0).mean()), abs=0.02)
    assert found.dice[0] == 1.0
    same = compare(mask, mask, 3)
    assert same.weights is None
    assert same.dice.tolist() == [1.0, 1.0]


def agreements(dice: float, share: float, count: int, ignored: float = 0.0) -> list:
    from medunet.gate.agreement import Agreement

    return [Agreement(np.array([dice]), ignored, None, share) for _ in range(count)]


def test_agreement_is_relative_to_real_cases_as_difficult() -> None:
    """Small structures have lower Dice on real cases too: half of it is enough for them, not for others."""
    real = Yardstick.of([*agreements(0.5, 0.01, 9), *agreements(0.9, 0.2, 9)], 2)
    settings = GateSettings(bins=2, best_share=0)
    samples = [*agreements(0.46, 0.012, 1), *agreements(0.46, 0.3, 1), *agreements(0.85, 0.3, 1)]
    checks = judge(samples, real, ["a"], settings)
    assert [check.passed for check in checks] == [True, False, True]
    assert checks[1].number == pytest.approx(0.46 / 0.9, abs=1e-3)


def test_the_best_of_every_bin_need_less() -> None:
    real = Yardstick.of([*agreements(0.8, 0.01, 9), *agreements(0.8, 0.2, 9)], 2)
    hard = [sample for n in range(10) for sample in agreements(0.8 * (0.70 + 0.02 * n), 0.01, 1)]
    easy = agreements(0.8, 0.3, 10)
    checks = judge([*hard, *easy], real, ["a"], GateSettings(bins=2, best_share=0.5))
    assert [check.passed for check in checks[:10]] == [False] * 5 + [True] * 5
    assert all(check.passed for check in checks[10:])
    least = judge(agreements(0.5, 0.01, 10), real, ["a"], GateSettings(bins=2, best_share=1))
    assert not any(check.passed for check in least)


def test_too_much_that_is_ignored_is_refused() -> None:
    real = Yardstick.of(agreements(0.8, 0.1, 9), 1)
    found = judge(agreements(1.0, 0.1, 1, ignored=0.4), real, ["a"], GateSettings(bins=1))
    assert not found[0].passed
    assert "40%" in found[0].reason
    weak = Yardstick.of(agreements(0.8, 0.1, 9, ignored=0.45), 1)  # a segmenter that real cases puzzle too
    assert judge(agreements(1.0, 0.1, 1, ignored=0.4), weak, ["a"], GateSettings(bins=1))[0].passed
    assert not judge(agreements(1.0, 0.1, 1, ignored=0.5), weak, ["a"], GateSettings(bins=1))[0].passed


def test_a_segmenter_that_finds_nothing_lets_nothing_through() -> None:
    masks = [two_balls(seed, (40, 44))[1] for seed in range(9)]
    real = Yardstick.of([compare(mask, mask, 3) for mask in masks], 3)
    nothing = [compare(mask, mask * 0, 3) for mask in masks]
    assert not any(check.passed for check in judge(nothing, real, NAMES, GateSettings(best_share=1)))


def test_a_label_that_is_wholly_ignored_is_not_passed_over() -> None:
    """A lesion that the image does not show is a small part of all labelled voxels."""
    mask = np.zeros((64, 64), np.uint8)
    mask[8:56, 8:56], mask[20:30, 20:30] = 1, 2
    real = Yardstick.of([compare(mask, mask, 3)] * 6, 1)
    gone = compare(mask, np.where(mask == 2, 1, mask).astype(np.uint8), 3)
    assert gone.ignored < 0.1
    (check,) = judge([gone], real, ("organ", "lesion"), GateSettings(bins=1))
    assert not check.passed
    assert check.reason.startswith("lesion: Dice 0.000")
    assert np.isnan(compare(mask * 0, mask * 0, 3).dice).all()


def test_who_cannot_find_a_label_on_real_cases_is_no_judge() -> None:
    thin = np.zeros((64, 64), np.uint8)
    thin[::8], thin[30:40] = 2, 1
    blind = np.where(thin == 2, 0, thin).astype(np.uint8)
    weak = Yardstick.of([compare(thin, blind, 3)] * 6, 2)
    with pytest.raises(ConfigError, match=r"of vessel \(Dice 0\.00\).*Train it longer"):
        weak.check_able(("organ", "vessel"))
    Yardstick.of([compare(thin, thin, 3)] * 6, 2).check_able(("organ", "vessel"))
    with pytest.raises(ConfigError, match="holds out no real case"):
        Yardstick.of([], 2)


def test_a_bin_that_the_segmenter_is_blind_in_admits_nothing_for_that() -> None:
    real = Yardstick.of([*agreements(0.0, 0.01, 9), *agreements(0.9, 0.2, 9)], 2)
    real.check_able(["a"])
    (check,) = judge(agreements(0.0, 0.01, 1), real, ["a"], GateSettings(bins=2))
    assert not check.passed


# --------------------------------------------------------------------------------------------- duplicates


def test_the_later_of_two_alike_is_refused_even_when_turned() -> None:
    shape = (48, 48)
    made = [two_balls(seed, shape) for seed in (0, 1, 2)]
    noisy = made[0][0] + np.random.default_rng(0).normal(0, 1, shape)
    made.append((np.rot90(noisy).astype(np.float32).copy(), np.rot90(made[0][1]).copy()))
    same_mask = 60.0 * (made[1][1] > 0) + np.random.default_rng(5).normal(0, 8, shape)
    made.append((same_mask.astype(np.float32), made[1][1]))
    checks = duplicates([view_of(image[None], mask, shape) for image, mask in made], 0.95)
    assert [check.passed for check in checks] == [True, True, True, False, True]
    assert "sample 0" in checks[3].reason


# --------------------------------------------------------------------------------------------- membership


def test_membership_is_half_for_strangers_and_one_for_what_is_known_by_heart() -> None:
    random = np.random.default_rng(0)
    times = np.array([1.0, 5.0, 20.0])  # later times have larger losses
    members, others = (times * random.normal(1, 0.1, (60, 3)) for _ in range(2))
    found = membership(members, others)
    assert found.ci95[0] < 0.5 < found.ci95[1]
    assert (found.members, found.non_members) == (60, 60)
    assert membership(members * 0.5, others).auc == 1.0
    assert membership(others, members * 0.5).auc == 0.0
    gap = membership(members * 0.95, others)
    assert 0.55 < gap.auc < 0.95
    assert gap.ci95[0] < gap.auc < gap.ci95[1]


# --------------------------------------------------------------------------------------------------- hull


def test_a_request_outside_training_is_told_the_nearest_inside() -> None:
    known = [
        Attribute(name="scanner", values=("Aera", "Skyra")),
        Attribute(name="spacing_x_mm", mean=1.0, low=0.8, high=1.2),
    ]
    assert outside({"scanner": "Skyra", "spacing_x_mm": 1.2}, known) == []
    found = outside({"scanner": "skyra fit", "spacing_x_mm": "3.0", "age": 5.0}, known)
    assert [(one.what, one.found, one.nearest) for one in found] == [
        ("scanner", "skyra fit", "Skyra"),
        ("spacing_x_mm", "3.0", 1.2),
        ("age", 5.0, None),
    ]
    assert "expected 0.8 to 1.2" in found[1].words
    assert outside({"spacing_x_mm": "wide"}, known)[0].nearest == 1.0
    for endless, nearest in (("inf", 1.2), ("1e400", 1.2), ("-inf", 0.8), ("nan", 1.0)):
        assert outside({"spacing_x_mm": endless}, known)[0].nearest == nearest
    assert outside({"age": "inf"}, [Attribute(name="age", mean=50.0)])[0].nearest == 50.0
