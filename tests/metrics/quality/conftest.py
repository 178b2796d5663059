"""Small sets of images with a mask: textured blobs on a noisy ground, each image another blob."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medunet.metrics.quality.radiomics import table

Sets = tuple[list[NDArray[np.float64]], list[NDArray[np.uint8]]]


def phantoms(count: int, seed: int, size: int = 32) -> Sets:
    random = np.random.default_rng(seed)
    images, masks = [], []
    x, y = np.indices((size, size))
    for _ in range(count):
        centre, radii = random.uniform(0.35, 0.65, 2) * size, random.uniform(0.2, 0.3, 2) * size
        mask = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 <= 1
        texture = gaussian_filter(random.normal(size=(size, size)), 1.0) * 3
        image = np.where(mask, 1.5 + 0.5 * texture, -0.5) + 0.2 * random.normal(size=(size, size))
        images.append((image - image.mean())[None] / image.std())
        masks.append(mask.astype(np.uint8))
    return images, masks


@pytest.fixture(scope="session")
def real() -> Sets:
    return phantoms(40, 1)


@pytest.fixture(scope="session")
def good() -> Sets:
    return phantoms(40, 2)


def blurred(images: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    return [gaussian_filter(image, (0, 0.7, 0.7)) for image in images]


def noisy(images: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    random = np.random.default_rng(5)
    return [image + 0.3 * random.normal(size=image.shape) for image in images]


def shuffled(images: list[NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    """Keep the histogram inside an image, and lose its texture."""
    random = np.random.default_rng(6)
    return [random.permuted(image.reshape(-1, 4, 8), axis=2).reshape(image.shape) for image in images]


@pytest.fixture(scope="session", params=[blurred, noisy, shuffled], ids=lambda change: change.__name__)
def bad(request: pytest.FixtureRequest, good: Sets) -> Sets:
    return request.param(good[0]), good[1]


@pytest.fixture(scope="session")
def collapsed(good: Sets) -> Sets:
    """Forty images, but only three different ones."""
    random = np.random.default_rng(7)
    images = [good[0][i % 3] + 0.02 * random.normal(size=(1, 32, 32)) for i in range(40)]
    return images, [good[1][i % 3] for i in range(40)]


@pytest.fixture(scope="session")
def grainy(good: Sets) -> Sets:
    return noisy(good[0]), good[1]


@pytest.fixture(scope="session")
def of_real(real: Sets):
    """Radiomic features of the whole image and of the blob."""
    return table(*real, [None, 1])


@pytest.fixture(scope="session")
def of_good(good: Sets):
    return table(*good, [None, 1])


@pytest.fixture(scope="session")
def of_bad(bad: Sets):
    return table(*bad, [None, 1])
