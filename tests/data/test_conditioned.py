"""Patches of a generator: those of a segmenter, with what is known of each case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from medunet.config.generator import GeneratorAugmentation
from medunet.config.recipe import Augmentation
from medunet.data.cache import Entry
from medunet.data.conditioned import SDF_VOXELS, ConditionedSource, signed_distances
from medunet.data.sampling import Batches, PatchSource
from medunet.tasks.synthesize import from_distances
from tests.phantoms import ball, cached_balls


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    return cached_balls(tmp_path, (24, 28))


def conditioned(entries: list[Entry], how: Augmentation, **changes: object) -> ConditionedSource:
    codes = np.arange(len(entries) * 2, dtype=np.float32).reshape(-1, 2)
    shape = ((16, 16), (1.0, 1.0))
    return ConditionedSource(entries, *shape, how, 0.9, 7, codes=codes, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", [GeneratorAugmentation(), Augmentation()])
def test_patches_are_those_of_a_segmenter_with_the_codes_of_their_case(
    entries: list[Entry], how: Augmentation
):
    plain = PatchSource(entries, (16, 16), (1.0, 1.0), how, 0.9, 7)
    mine = conditioned(entries, how)
    for position in range(9):
        image, mask, codes = mine.patch(position)
        same_image, same_mask = plain.patch(position)
        assert torch.equal(image, same_image)
        assert torch.equal(mask, same_mask)
        case = plain.case_index(position)
        assert codes.tolist() == [2 * case, 2 * case + 1]
    images, masks, codes = next(Batches(mine, 3, workers=0).starting_at(1))
    assert (images.shape, masks.shape, codes.shape) == ((3, 1, 16, 16), (3, 16, 16), (3, 2))
    assert torch.equal(codes[0], mine.patch(3)[2])


def test_distances_take_the_place_of_the_image(entries: list[Entry]):
    source = conditioned(entries, GeneratorAugmentation(), distances_of=2)
    distances, mask, _ = source.patch(0)
    assert distances.shape == (2, 16, 16)
    assert torch.equal(distances, signed_distances(mask.numpy(), 2))


def test_signed_distances_are_in_voxels_to_the_border_and_cut():
    mask = np.zeros((41, 9), np.uint8)
    mask[20:30] = 2
    first, second = signed_distances(mask, 2).numpy()
    assert (first == -1).all()
    along = second[:, 4] * SDF_VOXELS
    assert along[19:22].tolist() == [-0.5, 0.5, 1.5]  # the border lies between voxels
    assert along[25] == along[24] == 4.5
    assert along[0] == -SDF_VOXELS
    assert signed_distances(np.ones((4, 4), np.uint8), 1).unique().tolist() == [1.0]


@pytest.mark.parametrize("shape", [(24, 28), (12, 14, 16)])
def test_masks_come_back_from_their_distances(shape: tuple[int, ...]):
    mask = np.zeros(shape, np.uint8)
    mask[ball(shape, tuple(n / 2 for n in shape), 5)] = 1
    mask[ball(shape, tuple(n / 2 for n in shape), 2)] = 2
    distances = torch.stack([signed_distances(mask, 3), signed_distances(mask * 0, 3)])
    found = from_distances(distances)
    assert found.dtype == np.uint8
    assert np.array_equal(found[0], mask)
    assert not found[1].any()
