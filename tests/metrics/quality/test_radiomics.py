"""Radiomic features and their distance: finite, by region, and larger for every kind of bad image."""

from __future__ import annotations

import numpy as np
import pytest

from medunet.errors import DataError
from medunet.metrics.quality import radiomics
from medunet.metrics.quality.frechet import frechet
from medunet.metrics.quality.halves import with_floor


@pytest.mark.parametrize(("shape", "count"), [((1, 24, 20), 245), ((2, 12, 10, 9), 770)])
def test_all_features_are_named_and_finite(shape, count) -> None:
    values, names = radiomics.features(np.random.default_rng(0).normal(size=shape), np.zeros(shape[1:], int))
    assert len(set(names)) == len(names) == len(values) == count
    assert np.isfinite(values).all()


def test_a_region_is_described_by_its_own_voxels(real) -> None:
    image, mask = real[0][0], real[1][0]
    values, names = radiomics.features(image, mask, 1)
    found = dict(zip(names, values, strict=True))
    assert found["channel0.original.first.mean"] == pytest.approx(image[0][mask == 1].mean())
    assert found["channel0.original.first.maximum"] == pytest.approx(image[0][mask == 1].max())
    together = radiomics.by_label(image, mask, [None, 0, 1])[0]
    assert np.array_equal(together[2], values)
    assert together[1][names.index("channel0.original.first.mean")] == pytest.approx(
        image[0][mask == 0].mean()
    )


def test_a_missing_label_is_nan_and_a_flat_image_is_not() -> None:
    mask = np.zeros((16, 16), np.uint8)
    assert np.isnan(radiomics.features(np.zeros((1, 16, 16)), mask, 3)[0]).all()
    assert np.isfinite(radiomics.features(np.zeros((1, 16, 16)), mask, 0)[0]).all()


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match="own grid"):
        radiomics.by_label.__wrapped__(np.zeros((1, 16, 16)), np.zeros((16, 15), int), [1])


def test_every_bad_set_is_farther_than_the_floor_and_a_good_one_is_not(of_real, of_good, of_bad) -> None:
    tables = [of_real, of_good, of_bad]
    for label in (None, 1):
        rows = radiomics.standardised(*(table[label] for table in tables))
        near, far = (with_floor(rows[0], other, frechet, repeats=4) for other in rows[1:])
        assert near.ratio == pytest.approx(1.0, abs=0.25)
        assert far.ratio is not None
        assert far.ratio > 1.3
        assert far.distance_ci95[0] > near.distance


def test_the_log_is_of_the_distance_and_not_of_its_square() -> None:
    random = np.random.default_rng(0)
    first, second = random.normal(size=(30, 4)), random.normal(2, 1, size=(30, 4))
    squared = radiomics.radiomic_frechet(first, second)
    assert squared > 1
    assert radiomics.log_radiomic_frechet(first, second) == pytest.approx(np.log(np.sqrt(squared)))


def test_standardising_leaves_out_what_cannot_be_measured() -> None:
    random = np.random.default_rng(1)
    first = np.column_stack([random.normal(5, 2, 20), np.full(20, 3.0), random.normal(size=20)])
    first[4] = np.nan  # no such label in this case
    other = np.column_stack([random.normal(5, 2, 8), np.full(8, 4.0), random.normal(size=8)])
    found, theirs = radiomics.standardised(first, other)
    assert found.shape == (19, 2)
    assert theirs.shape == (8, 2)
    assert found.mean(axis=0) == pytest.approx([0, 0], abs=1e-9)
    assert found.std(axis=0) == pytest.approx([1, 1])
    assert theirs[:, 0] == pytest.approx((other[:, 0] - np.nanmean(first[:, 0])) / np.nanstd(first[:, 0]))
    with pytest.raises(DataError, match="Leave this label out"):
        radiomics.standardised(first, np.full((3, 3), np.nan))


def test_rounding_is_no_unit_and_one_odd_case_does_not_decide() -> None:
    random = np.random.default_rng(2)
    first = random.normal(size=(20, 2)) * [1, 1e-9]  # the second: a median of 0, but for rounding
    odd = np.concatenate([first, [[1e4, 1e-3]]])
    found = radiomics.standardised(first, odd)[1]
    assert found.shape == (21, 1)
    assert found[-1, 0] == radiomics.LIMIT
    assert radiomics.radiomic_frechet(first, odd) < 5
