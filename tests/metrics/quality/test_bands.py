"""Bands: the Laplacian that SciPy gives, Haar steps by hand, and nothing in a flat image."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_laplace

from medunet.metrics.quality.bands import bands


@pytest.mark.parametrize(("shape", "count"), [((1, 40, 48), 7), ((2, 12, 10, 11), 22)])
def test_names_and_shapes(shape, count) -> None:
    names, arrays = bands(np.random.default_rng(0).normal(size=shape))
    assert len(set(names)) == len(names) == count
    assert arrays.shape == (count, *shape[1:])


def test_the_laplacian_of_gaussian_is_that_of_scipy() -> None:
    image = np.random.default_rng(1).normal(size=(50, 44))
    names, arrays = bands(image[None])
    for sigma in (2, 3, 5):
        expected = sigma**2 * gaussian_laplace(image, sigma, mode="reflect", truncate=6)
        assert arrays[names.index(f"channel0.log{sigma}")] == pytest.approx(
            expected, abs=0.02 * expected.std()
        )


def test_haar_bands_of_a_step() -> None:
    image = np.zeros((1, 6, 6))
    image[0, 3:] = 4.0  # a step along X, between rows 2 and 3
    names, arrays = bands(image)
    found = dict(zip(names, arrays, strict=True))
    expected = np.zeros((6, 6))
    expected[2] = -2.0
    assert np.array_equal(found["channel0.haarHL"], expected)
    assert not found["channel0.haarLH"].any()
    assert not found["channel0.haarHH"].any()


def test_a_flat_image_has_nothing_but_itself() -> None:
    names, arrays = bands(np.full((1, 9, 8, 7), 3.0))
    assert names[0] == "channel0.original"
    assert (arrays[0] == 3).all()
    assert np.abs(arrays[1:]).max() < 1e-12
