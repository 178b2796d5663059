"""Cropping, surfaces and distances of one structure, against scipy on the whole image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt

from medunet.errors import DataError
from medunet.metrics.pair import Pair, merged, pair_of, pairs, surface

SPACING_MM = (0.7, 1.0, 2.5)


def blobs(seed: int, shape: tuple[int, ...] = (24, 20, 12)) -> np.ndarray:
    """A mask of labels 1, 2 and 3 with ragged outlines."""
    random = np.random.default_rng(seed)
    mask = np.zeros(shape, np.uint8)
    for label in (1, 2, 3):
        centre = random.uniform(0.3, 0.7, len(shape)) * shape
        at = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
        radius = random.uniform(3, 6)
        mask[np.linalg.norm((at - centre), axis=-1) + random.normal(0, 0.4, shape) < radius] = label
    return mask


@pytest.mark.parametrize("shape", [(24, 20, 12), (40, 30)])
def test_the_surface_is_what_an_erosion_takes_away(shape: tuple[int, ...]) -> None:
    mask = blobs(1, shape) > 0
    np.testing.assert_array_equal(surface(mask), mask & ~binary_erosion(mask))


def test_the_border_of_the_image_is_surface() -> None:
    assert surface(np.ones((4, 4, 4), bool)).sum() == 64 - 8


def test_distances_of_the_crop_equal_those_of_the_whole_image() -> None:
    truth, prediction = blobs(1), blobs(2)
    for label, pair in zip((1, 2, 3), pairs(truth, prediction, (1, 2, 3), SPACING_MM), strict=True):
        t, p = truth == label, prediction == label
        t, p = t & ~binary_erosion(t), p & ~binary_erosion(p)
        to_p = distance_transform_edt(~p, sampling=SPACING_MM)[t]
        to_t = distance_transform_edt(~t, sampling=SPACING_MM)[p]
        np.testing.assert_allclose(pair.distances_mm[0], to_p, atol=1e-9)
        np.testing.assert_allclose(pair.distances_mm[1], to_t, atol=1e-9)


def test_distances_are_found_where_the_processor_flushes_denormal_numbers() -> None:
    truth, prediction = np.zeros((2, 60, 20, 20), bool)
    truth[0] = True
    truth[59, 0, 0] = True
    prediction[3] = True
    pair = Pair(truth, prediction, (4.0, 1.0, 1.0), 1.0, 1.0)
    assert torch.set_flush_denormal(True)
    try:
        of_truth, of_prediction = pair.distances_mm
    finally:
        torch.set_flush_denormal(False)
    assert of_prediction.max() == of_prediction.min() == 12.0
    assert of_truth.max() == 4 * 56.0


def test_counts_are_those_of_the_whole_image() -> None:
    truth, prediction = blobs(3), blobs(4)
    pair = pair_of(truth, prediction, 2, SPACING_MM)
    assert pair.truth_voxels == (truth == 2).sum()
    assert pair.predicted_voxels == (prediction == 2).sum()
    assert pair.shared_voxels == ((truth == 2) & (prediction == 2)).sum()
    assert pair.truth.size < truth.size  # it was cropped


def test_outside_the_field_of_view_nothing_counts() -> None:
    truth, prediction = np.ones((6, 6), np.uint8), np.zeros((6, 6), np.uint8)
    prediction[:3] = 1
    fov = np.zeros((6, 6), np.uint8)
    fov[:3] = 255
    pair = pair_of(truth, prediction, 1, (1.0, 1.0), fov=fov)
    assert (pair.truth_voxels, pair.predicted_voxels, pair.shared_voxels) == (18, 18, 18)


def test_the_diagonal_is_that_of_the_whole_image_in_mm() -> None:
    mask = np.zeros((3, 4), np.uint8)
    assert pair_of(mask, mask, 1, (2.0, 2.0)).diagonal_mm == pytest.approx(10.0)


def test_masks_of_other_integer_types_are_read_alike() -> None:
    truth, prediction = blobs(1), blobs(2)
    wide = pair_of(truth.astype(np.int64), prediction.astype(np.int32), 3, SPACING_MM)
    assert wide.shared_voxels == pair_of(truth, prediction, 3, SPACING_MM).shared_voxels
    boolean = pair_of(truth > 0, prediction > 0, 1, SPACING_MM)
    assert boolean.truth_voxels == (truth > 0).sum()


def test_merged_labels_are_one() -> None:
    mask = np.array([[0, 1, 2], [3, 4, 0]], np.uint8)
    np.testing.assert_array_equal(merged(mask, [1, 3, 4]), [[0, 1, 0], [1, 1, 0]])


def test_masks_on_other_grids_are_refused_with_both_shapes() -> None:
    with pytest.raises(DataError, match=r"\(4, 5\) voxels, expected \(4, 4\)"):
        pair_of(np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8), 1, (1.0, 1.0))
