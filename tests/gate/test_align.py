"""Templates find their place again after a small affine change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from medunet.gate.align import align
from medunet.gate.near import shifted_correlation


def texture(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    return (field / field.std()).astype(np.float32)


@pytest.mark.parametrize("d", [2, 3])
def test_a_turned_and_scaled_part_is_laid_over_its_place(d: int) -> None:
    region = texture((28,) * d)
    angle = np.deg2rad(6)
    matrix = np.eye(d)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix *= 1.06
    places = np.tensordot(matrix, np.indices((20,) * d) - 9.5, 1) + 13.5 + 1.2
    template = ndimage.map_coordinates(region, places, order=1)
    straight = float(np.corrcoef(template.ravel(), region[(slice(4, 24),) * d].ravel())[0, 1])
    tensors = [torch.from_numpy(a[None].astype(np.float32)) for a in (template, region, np.ones_like(region))]
    found = align(tensors[0], tensors[1], tensors[2], tensors[1][:, None], torch.ones(1))
    assert straight < 0.7
    assert float(found.correlation[0]) > 0.99
    taken = float(np.corrcoef(template.ravel(), found.others[0, 0])[0, 1])
    assert taken == pytest.approx(float(found.correlation[0]), abs=1e-3)


def test_another_texture_is_not_laid_over() -> None:
    template, region = texture((20, 20), 1), texture((28, 28), 2)
    tensors = [torch.from_numpy(a[None]) for a in (template, region, np.ones_like(region))]
    assert float(align(*tensors, tensors[1][:, None], torch.ones(1)).correlation[0]) < 0.7


def test_what_is_not_known_of_a_region_does_not_count() -> None:
    region = texture((28, 28))
    known = np.ones_like(region)
    known[:, :10] = 0
    spoiled = np.where(known > 0, region, 5.0).astype(np.float32)
    tensors = [torch.from_numpy(a[None]) for a in (region[4:24, 4:24].copy(), spoiled, known)]
    assert float(align(*tensors, tensors[1][:, None], torch.ones(1)).correlation[0]) > 0.99
    blind = torch.zeros_like(tensors[2])
    assert (
        float(align(tensors[0], tensors[1], blind, tensors[1][:, None], torch.ones(1)).correlation[0]) == -1
    )


def test_correlation_at_every_shift_is_that_of_the_windows() -> None:
    region, template = texture((9, 8)), texture((5, 6), 3)
    found = shifted_correlation(torch.from_numpy(template[None]), torch.from_numpy(region[None]))[0].numpy()
    assert found.shape == (5, 3)
    for x in range(5):
        for y in range(3):
            expected = np.corrcoef(template.ravel(), region[x : x + 5, y : y + 6].ravel())[0, 1]
            assert found[x, y] == pytest.approx(expected, abs=2e-3)
