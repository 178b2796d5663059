from __future__ import annotations

import numpy as np
import pytest

from medunet.io.dicom.contours import area, fill, trace

SQUARE = np.array([(1.0, 1.0), (4.0, 1.0), (4.0, 3.0), (1.0, 3.0)])


def filled(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    out = np.zeros(shape, bool)
    if polygons:
        window, inside = fill(polygons, shape)
        out[window] = inside
    return out


def test_one_pixel_is_the_square_round_its_centre() -> None:
    labels = np.zeros((4, 3), np.uint8)
    labels[2, 1] = 7
    ((label, points),) = trace(labels)
    assert label == 7
    assert sorted(map(tuple, points)) == [(1.5, 0.5), (1.5, 1.5), (2.5, 0.5), (2.5, 1.5)]
    assert area(points) == 1.0


def test_a_hole_is_cut_in_and_an_island_in_it_stands_alone() -> None:
    labels = np.ones((9, 8), np.uint8)
    labels[2:7, 2:6] = 0
    labels[4, 4] = 1
    polygons = [points for _, points in trace(labels)]
    assert sorted(area(points) for points in polygons) == [1.0, 52.0]
    assert np.array_equal(filled(polygons, (9, 8)), labels == 1)


def test_pixels_that_touch_at_a_corner_are_two_polygons_of_one_region() -> None:
    labels = np.eye(2, dtype=np.uint8)
    polygons = [points for _, points in trace(labels)]
    assert [area(points) for points in polygons] == [1.0, 1.0]
    assert np.array_equal(filled(polygons, (2, 2)), labels == 1)


@pytest.mark.parametrize("seed", range(40))
def test_any_mask_is_enclosed_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 40, 2))
    labels = rng.integers(1, 4, shape).astype(np.uint8) * (rng.random(shape) < rng.choice([0.1, 0.6, 0.95]))
    polygons = trace(labels)
    for label in (1, 2, 3):
        own = [points for value, points in polygons if value == label]
        assert sum(area(points) for points in own) == np.count_nonzero(labels == label)
        assert np.array_equal(filled(own, shape), labels == label)


def test_nothing_has_no_contours() -> None:
    assert trace(np.zeros((5, 5), np.uint8)) == []


def test_pixels_whose_centre_is_on_the_line_belong_to_it() -> None:
    inside = filled([SQUARE], (6, 5))
    assert np.array_equal(np.argwhere(inside).min(0), (1, 1))
    assert np.array_equal(np.argwhere(inside).max(0), (4, 3))
    assert inside.sum() == 12
    nearly = SQUARE + np.array([(0.01, -0.01), (-0.01, 0.01), (0.01, 0.01), (-0.01, -0.01)])
    assert np.array_equal(filled([nearly], (6, 5)), inside)  # two digits after the point are common


def test_a_polygon_inside_another_is_a_hole_and_keeps_its_own_line() -> None:
    outer = np.array([(0.0, 0.0), (8.0, 0.0), (8.0, 8.0), (0.0, 8.0)])
    inner = np.array([(2.0, 2.0), (6.0, 2.0), (6.0, 6.0), (2.0, 6.0)])
    assert filled([outer, inner], (9, 9)).sum() == 81 - 9  # 3 x 3 centres lie strictly in the hole


def test_slanted_lines_agree_with_the_formula() -> None:
    x, y = np.indices((40, 30)).astype(float)
    triangle = np.array([(3.2, 2.1), (35.7, 8.9), (12.4, 27.6)])
    depth = np.full((40, 30), np.inf)  # pixels from the nearest line, below 0 outside
    for (ax, ay), (bx, by) in zip(triangle, np.roll(triangle, -1, axis=0), strict=True):
        depth = np.minimum(depth, ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / np.hypot(bx - ax, by - ay))
    certain = np.abs(depth) > 0.02
    assert np.array_equal(filled([triangle], (40, 30))[certain], depth[certain] > 0)
    assert certain.mean() > 0.99


def test_what_lies_beyond_the_slice_is_cut_off() -> None:
    inside = filled([SQUARE * 10 - 15], (6, 5))  # from -5 to 25, from -5 to 15
    assert inside.all()
    assert not filled([SQUARE + 50], (6, 5)).any()
