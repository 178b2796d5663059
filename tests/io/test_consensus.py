"""STAPLE against the algorithm written out, and where it has nothing to go by."""

from __future__ import annotations

import numpy as np
import pytest

from medunet.errors import DataError
from medunet.io.consensus import consensus

SHAPE = (14, 12, 9)


def truth() -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[2:8, 3:9, 2:7] = 1
    mask[9:13, 3:9, 2:7] = 2
    return mask


def read_by(seed: int, slips: float) -> np.ndarray:
    """The truth as a reader draws it who errs at so many voxels."""
    random, mask = np.random.default_rng(seed), truth()
    wrong = random.random(SHAPE) < slips
    return np.where(wrong, random.integers(0, 3, SHAPE, np.uint8), mask)


def warfield(marked: np.ndarray, rounds: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Warfield et al. 2004, equations 14 to 19: (readers, voxels) -> probabilities and skills."""
    prior = marked.mean()
    sensitivity, specificity = (np.full(len(marked), 0.99999) for _ in range(2))
    for _ in range(rounds):
        inside = prior * np.prod(np.where(marked.T, sensitivity, 1 - sensitivity), axis=1)
        outside = (1 - prior) * np.prod(np.where(marked.T, 1 - specificity, specificity), axis=1)
        weight = inside / (inside + outside)
        sensitivity = (marked * weight).sum(1) / weight.sum()
        specificity = (~marked * (1 - weight)).sum(1) / (1 - weight).sum()
    return weight, sensitivity, specificity


def test_it_is_warfields_algorithm() -> None:
    masks = {"a": read_by(1, 0.05), "b": read_by(2, 0.1), "c": read_by(3, 0.3)}
    found = consensus(masks, [1])
    marked = np.stack([mask.ravel() == 1 for mask in masks.values()])
    weight, sensitivity, specificity = warfield(marked)  # stray voxels: the box is the whole image
    assert np.array_equal(found.mask.ravel() == 1, weight >= 0.5)
    skills = found.skills[1].values()
    assert [one.sensitivity for one in skills] == pytest.approx(sensitivity, abs=1e-4)
    assert [one.specificity for one in skills] == pytest.approx(specificity, abs=1e-4)


def test_three_careful_readers_together_are_the_truth_and_the_careless_one_is_told() -> None:
    masks = {"a": read_by(1, 0.05), "b": read_by(2, 0.05), "c": read_by(3, 0.05), "d": read_by(4, 0.5)}
    found = consensus(masks, [1, 2])
    assert (found.mask != truth()).mean() < 0.005
    assert found.mask.dtype == np.uint16
    for label in (1, 2):
        skills = {reader: skill.sensitivity or 0.0 for reader, skill in found.skills[label].items()}
        assert skills["d"] < 0.8 < min(skills["a"], skills["b"], skills["c"])


def test_background_far_away_changes_nothing() -> None:
    small = {name: np.where(truth() == 1, read_by(seed, 0.2), 0) for seed, name in enumerate("abc")}
    large = {name: np.pad(mask, 20) for name, mask in small.items()}
    found, padded = consensus(small, [1]), consensus(large, [1])
    assert padded.skills == found.skills
    assert np.array_equal(padded.mask[20:-20, 20:-20, 20:-20], found.mask)
    assert padded.mask.sum() == found.mask.sum()


def test_equal_masks_and_2d_and_a_label_that_nobody_drew() -> None:
    flat = truth()[:, :, 4]
    found = consensus({"a": flat, "b": flat}, [1, 2, 3])
    assert np.array_equal(found.mask, flat)
    assert (found.skills[1]["a"].sensitivity, found.skills[1]["a"].specificity) == (1.0, 1.0)
    assert found.skills[3]["b"].sensitivity is None
    empty = consensus({"a": flat * 0, "b": flat * 0}, [1])
    assert not empty.mask.any()
    assert empty.skills[1]["a"].specificity is None


def test_a_reader_who_drew_nothing_is_told_by_sensitivity_0() -> None:
    found = consensus({"a": truth(), "b": truth() * 0, "c": truth()}, [1])
    assert np.array_equal(found.mask == 1, truth() == 1)
    assert found.skills[1]["b"].sensitivity == pytest.approx(0, abs=1e-6)


def test_one_mask_or_two_grids_are_refused() -> None:
    with pytest.raises(DataError, match="two readers"):
        consensus({"a": truth()}, [1])
    with pytest.raises(DataError, match="one grid"):
        consensus({"a": truth(), "b": truth()[1:]}, [1])
