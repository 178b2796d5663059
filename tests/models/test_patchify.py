"""Space to depth is lossless, in order, and lets gradients through."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from medunet.models.patchify import patchify, unpatchify

SIZES = [(2, 3, 8, 12), (2, 3, 8, 12, 4), (2, 0, 8, 12), (1, 0, 4, 8, 4)]


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("patch", [1, 2, 4])
def test_there_and_back_is_exact(shape: tuple[int, ...], patch: int) -> None:
    image = torch.randn(shape)
    patches = patchify(image, patch)
    dims = len(shape) - 2
    assert patches.shape == (shape[0], shape[1] * patch**dims, *(size // patch for size in shape[2:]))
    assert torch.equal(unpatchify(patches, patch), image)


def test_in_2d_it_is_pixel_unshuffle() -> None:
    image = torch.randn(2, 3, 8, 12)
    assert torch.equal(patchify(image, 4), functional.pixel_unshuffle(image, 4))


def test_a_3d_patch_holds_its_own_voxels_channel_by_channel() -> None:
    image = torch.randn(1, 2, 4, 6, 8)
    patches = patchify(image, 2)
    block = image[0, :, 2:4, 4:6, 6:8]
    assert torch.equal(patches[0, :, 1, 2, 3], block.reshape(-1))


@pytest.mark.parametrize("dims", [2, 3])
def test_the_gradient_goes_to_the_voxel_it_came_from(dims: int) -> None:
    image = torch.randn(1, 1, *(4,) * dims, requires_grad=True)
    weight = torch.randn(1, 1, *(4,) * dims)
    (patchify(image, 2) * patchify(weight, 2)).sum().backward()
    assert torch.equal(image.grad, weight)
