"""Texture against scikit-image, counting by hand in masked and 3D regions, and a published example."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from skimage.feature import graycomatrix, graycoprops

from medunet.metrics.quality.texture import (
    GLCM_NAMES,
    MAX_COARSENESS,
    NGTDM_NAMES,
    cooccurrence,
    glcm,
    ngtdm,
)

BINS = 6


def grey(shape, seed=0):
    return np.random.default_rng(seed).integers(0, BINS, shape)


def neighbours(place, shape):
    for step in product((-1, 0, 1), repeat=len(shape)):
        there = tuple(p + s for p, s in zip(place, step, strict=True))
        if any(step) and all(0 <= t < size for t, size in zip(there, shape, strict=True)):
            yield there


def test_cooccurrence_and_features_are_those_of_scikit_image() -> None:
    levels = grey((20, 23))
    matrix = cooccurrence(levels[None], np.ones((20, 23), bool), BINS)
    theirs = graycomatrix(levels.astype(np.uint8), [1], np.arange(4) * np.pi / 4, BINS, symmetric=True)
    theirs = theirs.sum(axis=3, keepdims=True) / theirs.sum()
    assert matrix[0] == pytest.approx(theirs[:, :, 0, 0])
    found = dict(zip(GLCM_NAMES, glcm(matrix)[0], strict=True))
    for ours, name in (
        ("contrast", "contrast"),
        ("dissimilarity", "dissimilarity"),
        ("homogeneity", "homogeneity"),
        ("second_moment", "ASM"),
        ("correlation", "correlation"),
    ):
        assert found[ours] == pytest.approx(graycoprops(theirs, name)[0, 0]), ours
    assert found["entropy"] == pytest.approx(graycoprops(theirs, "entropy")[0, 0] / np.log(2))


@pytest.mark.parametrize("shape", [(7, 6), (4, 5, 3)])
def test_only_pairs_inside_the_region_count(shape) -> None:
    levels, region = grey((2, *shape)), np.random.default_rng(3).random(shape) < 0.6
    expected = np.zeros((2, BINS, BINS))
    for place in zip(*np.nonzero(region), strict=True):
        for there in neighbours(place, shape):
            for band in range(2):
                expected[band, levels[(band, *place)], levels[(band, *there)]] += region[there]
    expected /= expected.sum(axis=(1, 2), keepdims=True)
    assert cooccurrence(levels, region, BINS) == pytest.approx(expected)


def test_the_other_glcm_features_by_their_definition() -> None:
    matrix = cooccurrence(grey((1, 9, 8), 4), np.ones((9, 8), bool), BINS)
    found = dict(zip(GLCM_NAMES, glcm(matrix)[0], strict=True))
    cells = [(i, j, matrix[0, i, j]) for i in range(BINS) for j in range(BINS)]
    mean = sum(i * p for i, _, p in cells)
    for power, name in ((2, "cluster_tendency"), (3, "cluster_shade"), (4, "cluster_prominence")):
        assert found[name] == pytest.approx(sum((i + j - 2 * mean) ** power * p for i, j, p in cells))
    for name, code in (("sum_entropy", lambda i, j: i + j), ("difference_entropy", lambda i, j: abs(i - j))):
        shares = {}
        for i, j, p in cells:
            shares[code(i, j)] = shares.get(code(i, j), 0) + p
        assert found[name] == pytest.approx(-sum(p * np.log2(p) for p in shares.values() if p))


def test_neighbourhood_differences_of_a_published_example() -> None:
    # documentation of PyRadiomics: levels 1, 2, 3, 5 with s = 13.35, 2.00, 3.03, 10.075
    image = np.array([[1, 2, 5, 2], [3, 5, 1, 3], [1, 3, 5, 5], [3, 1, 1, 1]])
    found = ngtdm((image - 1)[None], np.ones((4, 4), bool), 5)[0]
    p = np.array([6, 2, 4, 4]) / 16
    s = np.array([13.35, 2.00, 3.0333, 10.075]) / 16  # per voxel
    i = np.array([1, 2, 3, 5])
    pairs = [(a, b) for a in range(4) for b in range(4)]
    expected = {
        "coarseness": 1 / (p @ s),
        "contrast": sum(p[a] * p[b] * (i[a] - i[b]) ** 2 for a, b in pairs) / 12 * s.sum(),
        "busyness": (p @ s) / sum(abs(i[a] * p[a] - i[b] * p[b]) for a, b in pairs),
        "complexity": sum(abs(i[a] - i[b]) * (p[a] * s[a] + p[b] * s[b]) / (p[a] + p[b]) for a, b in pairs),
        "strength": sum((p[a] + p[b]) * (i[a] - i[b]) ** 2 for a, b in pairs) / s.sum(),
    }
    assert dict(zip(NGTDM_NAMES, found, strict=True)) == pytest.approx(expected, rel=1e-3)


def test_neighbourhood_differences_stay_inside_the_region() -> None:
    shape = (5, 4, 4)
    levels, region = grey(shape, 5), np.random.default_rng(6).random(shape) < 0.5
    outside = np.where(region, levels, (levels + 3) % BINS)
    assert ngtdm(levels[None], region, BINS) == pytest.approx(ngtdm(outside[None], region, BINS))
    weighted = 0.0
    places = [
        q for q in zip(*np.nonzero(region), strict=True) if any(region[n] for n in neighbours(q, shape))
    ]
    for place in places:
        around = [levels[there] for there in neighbours(place, shape) if region[there]]
        share = np.mean([levels[q] == levels[place] for q in places])
        weighted += share * abs(levels[place] - np.mean(around))
    assert ngtdm(levels[None], region, BINS)[0, 0] == pytest.approx(len(places) / weighted)


@pytest.mark.parametrize("region", [np.eye(1, dtype=bool), np.ones((3, 3), bool)])
def test_a_flat_region_has_finite_features(region) -> None:
    levels = np.zeros((1, *region.shape), int)
    assert np.isfinite(glcm(cooccurrence(levels, region, BINS))).all()
    assert ngtdm(levels, region, BINS)[0].tolist() == [MAX_COARSENESS, 0, 0, 0, 0]
