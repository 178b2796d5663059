"""Changes of space: never folded, with the right derivative, smooth, and nothing where nothing is asked."""

from __future__ import annotations

import numpy as np
import pytest

from medunet.shapes.bend import moved
from medunet.shapes.family import Refused
from medunet.shapes.warp import How, draw_warp
from tests.shapes.families import organ

STILL = How(shift_voxels=(0, 0), rotate_degrees=0, scale=(1, 1))


@pytest.mark.parametrize("size", [(40, 44), (16, 20, 14)])
def test_space_is_never_folded(size: tuple[int, ...]) -> None:
    for seed in range(60):
        warp, facts = draw_warp(np.random.default_rng(seed), size, (1.0,) * len(size), How())
        assert warp.jacobian.shape == size
        assert warp.jacobian.min() > 0
        # neighbours keep their order: a check of the mapping itself, not of its formula
        for axis in range(len(size)):
            turned = np.linalg.inv(warp.matrix) @ warp.coordinates.reshape(len(size), -1)
            assert (np.diff(turned.reshape(warp.coordinates.shape)[axis], axis=axis) > 0).all()
        assert facts["jacobian_min"] == pytest.approx(warp.jacobian.min())


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 0.7, 3.0), (1.0, 1.0)])
def test_the_jacobian_is_that_of_the_coordinates(spacing: tuple[float, ...]) -> None:
    size = (24, 22, 12)[: len(spacing)]
    warp, _ = draw_warp(np.random.default_rng(4), size, spacing, How(shift_voxels=(2, 2)))
    slopes = np.stack([np.stack(np.gradient(part)) for part in warp.coordinates])
    numeric = np.linalg.det(np.moveaxis(slopes, (0, 1), (-2, -1)))
    inner = (slice(2, -2),) * len(size)
    assert np.allclose(numeric[inner], warp.jacobian[inner], rtol=0.05, atol=0.02)


def test_a_field_that_would_fold_is_refused() -> None:
    wild = How(sigma_voxels=(2, 2), shift_voxels=(12, 12))
    with pytest.raises(Refused, match=r"folds space \(smallest Jacobian determinant -"):
        for seed in range(5):
            draw_warp(np.random.default_rng(seed), (40, 40), (1.0, 1.0), wild)


def test_nothing_asked_is_nothing_moved() -> None:
    mask = organ(0, 3)
    warp, _ = draw_warp(np.random.default_rng(0), mask.shape, (1.0, 1.0, 1.0), STILL)
    assert np.allclose(warp.coordinates, np.indices(mask.shape))
    assert np.array_equal(moved(mask, (0, 0, 0), warp.coordinates, 0.0), mask)


def test_scale_and_jacobian_say_how_much_larger_a_mask_becomes() -> None:
    mask = np.pad(organ(1, 3), 4)
    how = STILL.model_copy(update={"scale": (1.1, 1.1), "rotate_degrees": 20.0})
    warp, _ = draw_warp(np.random.default_rng(0), mask.shape, (1.0, 1.0, 1.0), how)
    grown = np.count_nonzero(moved(mask, (0, 0, 0), warp.coordinates, 0.6)) / np.count_nonzero(mask)
    assert grown == pytest.approx(1.1**3, rel=0.03)
    assert warp.jacobian == pytest.approx(1.1**-3)


def test_turning_in_mm_does_not_shear_thick_slices() -> None:
    """A ball of 9 mm stays one on voxels of 1 x 1 x 3 mm."""
    grid = np.indices((31, 31, 11)) * np.array([1, 1, 3]).reshape(3, 1, 1, 1) - 15
    mask = ((grid**2).sum(0) <= 81).astype(np.uint8)
    how = STILL.model_copy(update={"rotate_degrees": 90.0})
    warp, _ = draw_warp(np.random.default_rng(2), mask.shape, (1.0, 1.0, 3.0), how)
    turned = moved(mask, (0, 0, 0), warp.coordinates, 0.0)
    assert 2 * (turned & mask).sum() / (turned.sum() + mask.sum()) > 0.93


def test_the_displacement_is_as_large_and_as_smooth_as_asked() -> None:
    for shift in (1.0, 3.0):
        how = How(sigma_voxels=(8, 8), shift_voxels=(shift, shift), rotate_degrees=0, scale=(1, 1))
        found = []
        for seed in range(12):
            warp, _ = draw_warp(np.random.default_rng(seed), (64, 64), (1.0, 1.0), how)
            moved_by = warp.coordinates - np.indices((64, 64))
            found.append(float(np.sqrt((moved_by**2).sum(0).mean())))
            assert np.abs(np.diff(moved_by, axis=1)).max() < shift  # over a voxel, a part of the whole
        assert np.mean(found) == pytest.approx(shift, rel=0.25)
