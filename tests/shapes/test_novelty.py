"""Novelty: 0 for a copy wherever it lies, large for another kind of mask, quick for many."""

from __future__ import annotations

import numpy as np
import pytest

from medunet.shapes.family import cut
from medunet.shapes.novelty import Gallery, novelty, novelty_floor
from tests.phantoms import ball
from tests.shapes.families import cells, organ

ORGANS = {dims: [organ(i, dims) for i in range(12)] for dims in (2, 3)}
CELLS = [cells(i) for i in range(8)]


@pytest.mark.parametrize("dims", [2, 3])
def test_a_shifted_copy_is_not_new(dims: int) -> None:
    for i, shift in enumerate([(0, 0, 0), (1, -2, 1), (3, 1, -1), (-2, 2, 2)]):
        moved = cut(ORGANS[dims][i], shift[:dims], ORGANS[dims][i].shape)
        assert novelty(moved, ORGANS[dims]) == pytest.approx(0, abs=1e-12)


def test_it_is_1_minus_the_mean_dice_over_labels() -> None:
    one = np.zeros((20, 20), np.uint8)
    one[5:15, 5:10], one[5:15, 10:15] = 1, 2
    other = np.where(one == 2, 1, one).astype(np.uint8)
    # label 1: 2 * 50 / 150, label 2: nothing shared
    assert novelty(other, [one]) == pytest.approx(1 - (2 * 50 / 150 + 0) / 2)


@pytest.mark.parametrize("dims", [2, 3])
def test_another_kind_of_mask_is_new(dims: int) -> None:
    shape = ORGANS[dims][0].shape
    small = ball(shape, tuple(n / 2 for n in shape), 3).astype(np.uint8)
    p1, p25 = novelty_floor(ORGANS[dims])
    assert 0 < p1 <= p25 < 0.5
    assert novelty(small, ORGANS[dims]) > 0.7
    assert novelty(organ(77, dims), ORGANS[dims]) < 0.4


def test_a_part_of_a_training_mask_is_found_wherever_it_was_cut() -> None:
    gallery = Gallery.of(CELLS, (40, 44))
    assert gallery.in_parts
    for i, first in enumerate([(0, 0), (13, 7), (31, 50), (22, 33), (-6, 20)]):
        assert gallery.novelty(cut(CELLS[i], first, (40, 44))) == pytest.approx(0, abs=1e-12)
    assert gallery.novelty(cells(99)[10:50, 10:54]) > 0.05
    assert gallery.novelty(ball((40, 44), (20, 22), 18).astype(np.uint8)) > 0.3
    assert gallery.floor()[0] > 0.02


def test_a_mask_is_not_compared_with_itself_for_the_floor() -> None:
    for gallery in (Gallery.of(ORGANS[2]), Gallery.of(CELLS, (40, 44))):
        assert gallery.floor()[0] > 0
        twice = Gallery.of([*gallery.training, gallery.training[0]], gallery.shape)
        assert twice.floor()[0] < gallery.floor()[0]


def test_an_empty_mask_is_as_new_as_can_be() -> None:
    assert novelty(np.zeros_like(ORGANS[2][0]), ORGANS[2]) == 1
    assert Gallery.of(CELLS, (40, 44)).novelty(np.zeros((40, 44), np.uint8)) == 1
