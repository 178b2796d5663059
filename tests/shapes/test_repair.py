"""Rules learnt from training masks hold for them, planted faults are repaired or named."""

from __future__ import annotations

import numpy as np
import pytest

from medunet.shapes.facts import facts_of, touching
from medunet.shapes.repair import problems, repaired, rules_of
from tests.phantoms import ball
from tests.shapes.families import cells, lesions, organ

MM3 = (1.0, 1.0, 1.0)
ORGANS = [organ(i, 3) for i in range(12)]
RULES = rules_of(ORGANS, MM3)


def test_facts_by_hand() -> None:
    mask = np.zeros((12, 20), np.uint8)
    mask[2:9, 2:9] = 1
    mask[5, 5] = 0  # a hole
    mask[10, 15] = 1  # a speck
    mask[9, 2:4] = 2  # touches label 1
    facts = facts_of(mask, (2.0, 0.5))
    assert facts[1] == pytest.approx(
        {
            "volume_ml": 49e-3,
            "pieces": 2,
            "largest_share": 48 / 49,
            "holes": 1,
            "euler": 1,
            "smallest_ml": 1e-3,
        }
    )
    assert facts[2]["pieces"] == 1
    assert touching(mask) == {(1, 2)}


def test_a_piece_at_the_edge_says_nothing_of_the_smallest() -> None:
    mask = np.zeros((10, 10), np.uint8)
    mask[0, 0] = 1
    assert "smallest_ml" not in facts_of(mask, (1.0, 1.0))[1]
    mask[4:7, 4:7] = 1
    assert facts_of(mask, (1.0, 1.0))[1]["smallest_ml"] == pytest.approx(9e-3)


@pytest.mark.parametrize(
    "masks",
    [ORGANS, [cells(i) for i in range(8)], [lesions(i) for i in range(8)]],
    ids=["organ", "cells", "lesion"],
)
def test_training_masks_are_plausible_and_stay_as_they_are(masks: list[np.ndarray]) -> None:
    spacing = (1.0,) * masks[0].ndim
    rules = rules_of(masks, spacing)
    for mask in masks:
        assert problems(mask, rules, spacing) == []
        assert np.array_equal(repaired(mask, rules), mask)


def test_a_speck_goes_to_what_is_around_it() -> None:
    mask = ORGANS[0].copy()
    back = tuple(int(n) for n in np.argwhere(mask == 2).mean(0))
    mask[back] = 1  # in the middle of label 2
    mask[1, 1, 1] = 1  # in the background
    assert any("label 1: 3 piece(s)" in text for text in problems(mask, RULES, MM3))
    assert np.array_equal(repaired(mask, RULES), ORGANS[0])


def test_a_hole_is_filled_where_training_has_none() -> None:
    mask = ORGANS[0].copy()
    mask[tuple(int(n) for n in np.argwhere(mask == 2).mean(0))] = 0
    assert any("label 2: 1 hole(s), expected 0 to 0" in text for text in problems(mask, RULES, MM3))
    assert np.array_equal(repaired(mask, RULES), ORGANS[0])


def test_holes_and_pieces_that_training_masks_have_are_left_alone() -> None:
    ring = (ball((40, 40), (20, 20), 15) & ~ball((40, 40), (20, 20), 6)).astype(np.uint8)
    rules = rules_of([ring, np.roll(ring, 1, 0)], (1.0, 1.0))
    assert np.array_equal(repaired(ring, rules), ring)
    assert any("0 hole(s)" in text for text in problems((ring | ball((40, 40), (20, 20), 7)).astype(np.uint8),
                                                        rules, (1.0, 1.0)))  # fmt: skip


def test_specks_below_the_smallest_object_go_unless_the_edge_cut_them() -> None:
    masks = [cells(i) for i in range(8)]
    rules = rules_of(masks, (1.0, 1.0))
    mask = masks[0].copy()
    free = ~ball(mask.shape, (0, 0), 0) & (mask == 0)
    inner = next(v for v in np.argwhere(free) if v.min() > 10 and v.max() < 85 and not mask[
        v[0] - 3 : v[0] + 4, v[1] - 3 : v[1] + 4].any())  # fmt: skip
    mask[tuple(inner)] = 1
    edge = next(v for v in np.argwhere(free) if v[0] == 0 and 3 < v[1] < 90 and not mask[
        0:4, v[1] - 3 : v[1] + 4].any())  # fmt: skip
    mask[tuple(edge)] = 1
    fixed = repaired(mask, rules)
    assert fixed[tuple(inner)] == 0
    assert fixed[tuple(edge)] == 1


def tunnel(mask: np.ndarray) -> np.ndarray:
    at = np.argwhere(mask == 1).mean(0).astype(int)
    out = mask.copy()
    out[at[0], at[1] - 1 : at[1] + 1, :] = 0
    return out


FAULTS = {
    "label 2: missing, every training mask has it": lambda m: np.where(m == 2, 1, m),
    "label 5: there, no training mask has it": lambda m: np.where(np.indices(m.shape).sum(0) < 2, 5, m),
    "label 1: a volume of": lambda m: np.where(m == 1, np.where(np.indices(m.shape)[0] < 9, 1, 0), m),
    "label 1: an Euler number of 0": tunnel,
    "% of its voxels in its largest piece": lambda m: np.where(np.indices(m.shape)[0] == 11, 0, m),
    "labels 1 and 2 do not touch": lambda m: np.where((m == 2) & (np.roll(m, 1, 1) == 1), 0, m),
}


@pytest.mark.parametrize("words", FAULTS)
def test_a_planted_fault_is_named_with_numbers(words: str) -> None:
    faults = problems(np.asarray(FAULTS[words](ORGANS[3]), np.uint8), RULES, MM3)
    assert any(words in text for text in faults), faults


def test_labels_that_never_touch_must_not() -> None:
    masks = []
    for i in range(4):
        mask = np.zeros((30, 30), np.uint8)
        mask[ball((30, 30), (9, 9 + i), 5)], mask[ball((30, 30), (21, 21), 5)] = 1, 2
        masks.append(mask)
    rules = rules_of(masks, (1.0, 1.0))
    joined = np.zeros((30, 30), np.uint8)
    joined[ball((30, 30), (9, 9), 5)], joined[ball((30, 30), (19, 11), 5)] = 1, 2
    assert "labels 1 and 2 touch, in no training mask they do" in problems(joined, rules, (1.0, 1.0))


def test_one_odd_mask_in_many_sets_no_rule() -> None:
    odd = ORGANS[0].copy()
    odd[1, 1, 1] = 1
    rules = rules_of([odd, *(organ(i, 3) for i in range(150))], MM3)
    assert rules.labels[1].ranges["pieces"] == (1, 1)
    assert RULES.labels[1].always
