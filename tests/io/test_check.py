from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medunet.io.check import corner_gap_mm, same_grid
from medunet.io.volume import Grid, Volume


def volume(shape: tuple[int, ...], affine: np.ndarray, *, known: bool = True) -> Volume:
    return Volume(np.zeros(shape, np.uint8), affine, Grid.of(shape, affine), Path("x.nii"), known)


def test_equal_grids_agree_and_others_are_described() -> None:
    affine = np.diag([1.0, 1.0, 2.0, 1.0])
    image = volume((10, 10, 10), affine)
    assert same_grid(image, volume((10, 10, 10), affine.copy())) is None
    assert "10 x 10 x 9" in str(same_grid(image, volume((10, 10, 9), affine)))
    moved = affine.copy()
    moved[0, 3] = 0.49
    assert same_grid(image, volume((10, 10, 10), moved)) is None
    moved[0, 3] = 0.51
    assert "0.51 mm apart (at most 0.5 mm" in str(same_grid(image, volume((10, 10, 10), moved)))


def test_a_small_turn_shows_at_the_corner() -> None:
    turned = np.eye(4)
    angle = np.radians(1.0)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    gap = corner_gap_mm((101, 101, 1), np.eye(4), turned)
    assert gap == pytest.approx(2 * np.sin(angle / 2) * 100 * np.sqrt(2), rel=1e-6)
    assert same_grid(volume((101, 101, 1), np.eye(4)), volume((101, 101, 1), turned)) is not None


def test_pictures_without_pixel_size_compare_by_shape() -> None:
    image = volume((10, 12), np.diag([0.5, 0.5, 1.0]))
    mask = volume((10, 12), np.eye(3), known=False)
    assert same_grid(image, mask) is None
    assert same_grid(image, volume((12, 10), np.eye(3), known=False)) is not None
