"""How a mask comes into a frame: whole where it fits, never beyond its source without need."""

from __future__ import annotations

import numpy as np
import pytest

from medunet import shapes
from medunet.shapes import Source
from medunet.shapes.family import box_of, family_of
from tests.phantoms import ball

MASK = np.zeros((60, 30), np.uint8)
MASK[25:37, 4:12] = 1
MASK[26:30, 5:8] = 2


@pytest.mark.parametrize("shape", [(20, 16), (12, 8), (70, 40), (14, 40)])
def test_a_frame_holds_all_that_is_labelled_and_no_more_than_it_must(shape: tuple[int, ...]) -> None:
    family = family_of((Source(MASK, "a"),), shape, (1.0, 1.0))
    assert family.fits(0)
    firsts = {family.window(0, np.random.default_rng(seed)) for seed in range(60)}
    assert len(firsts) > 1 or shape == (12, 8)
    for first in firsts:
        assert np.array_equal(np.bincount(family.cut(0, first).ravel())[1:], np.bincount(MASK.ravel())[1:])
        for f, n, m in zip(first, shape, MASK.shape, strict=True):
            assert min(0, m - n) <= f <= max(0, m - n)


def test_what_has_grown_out_of_its_frame_moves_it() -> None:
    family = family_of((Source(MASK, "a"),), (20, 16), (1.0, 1.0))
    canvas = np.zeros((40, 30), np.uint8)
    canvas[3:15, 18:27] = 1
    for first in ((0, 0), (10, 12), (20, 28)):
        assert np.count_nonzero(family.framed(canvas, first)) == np.count_nonzero(canvas)
    large = np.ones((40, 30), np.uint8)
    assert family.framed(large, (5, 5)).all()


def test_the_canvas_is_the_labelled_box_where_it_fits_and_else_the_frame() -> None:
    family = family_of((Source(MASK, "a"),), (20, 6), (1.0, 1.0))
    assert not family.fits(0)
    assert family.canvas(0, (18, 5), 3) == ((22, 5), (18, 6))


def test_the_box_of_nothing_is_nothing() -> None:
    assert box_of(np.zeros((4, 5), np.uint8)) is None
    assert box_of(MASK) == ((25, 4), (12, 8))


def rare() -> tuple[Source, ...]:
    """Six large organs, two of them with a speck of label 2 that few windows meet."""
    found = []
    for number in range(6):
        mask = ball((256, 256), (128, 128), 110).astype(np.uint8)
        if number == 0:
            mask[60:63, 120:123] = 2
        if number == 1:
            mask[190:193, 100:103] = 2
        found.append(Source(mask, str(number)))
    return tuple(found)


def test_a_rare_label_is_among_the_rules_and_can_be_transplanted() -> None:
    family = family_of(rare(), (64, 64), (1.0, 1.0))
    assert sorted(family.rules.labels) == list(family.labels) == [1, 2]
    seen = [window for window in family.windows if (window == 2).any()]
    assert len(family.windows) == 6 * 4 + 1  # the speck of one source is in a window by chance
    assert [int((window[28:36, 28:36] == 2).sum()) for window in seen] == [0, 9]
    new = shapes.make("transplant", {}, rare(), (64, 64), (1.0, 1.0), np.random.default_rng(0))
    assert set(np.unique(new.mask)) >= {1, 2}


def test_rules_are_learnt_once() -> None:
    sources = (Source(MASK, "a"),)
    one, again = (family_of(sources, (20, 16), (1.0, 1.0)) for _ in range(2))
    assert one.rules is again.rules
    assert family_of((Source(MASK, "a"),), (20, 16), (1.0, 1.0)) is not one
