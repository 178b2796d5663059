"""Space to depth: r x r (x r) voxels become channels; lossless, so small lesions survive what a VAE blurs."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def patchify(image: Float[Tensor, "n c *size"], patch: int) -> Float[Tensor, "n m *coarse"]:
    """Return (N, C * patch**d, *S / patch) of an image (N, C, *S), d = 2 or 3; C may be 0.

    In 2D this is torch's `pixel_unshuffle`. Every axis of S must be a multiple of `patch`.
    """
    batch, channels, *size = image.shape
    coarse = [length // patch for length in size]
    blocks = image.reshape(batch, channels, *(part for length in coarse for part in (length, patch)))
    dims = range(len(size))
    order = (0, 1, *(3 + 2 * axis for axis in dims), *(2 + 2 * axis for axis in dims))
    return blocks.permute(order).reshape(batch, channels * patch ** len(size), *coarse)


def unpatchify(image: Float[Tensor, "n m *coarse"], patch: int) -> Float[Tensor, "n c *size"]:
    """Return (N, C, *S * patch) of (N, C * patch**d, *S): the exact inverse of `patchify`."""
    batch, channels, *size = image.shape
    dims = len(size)
    blocks = image.reshape(batch, channels // patch**dims, *(patch,) * dims, *size)
    order = (0, 1, *(part for axis in range(dims) for part in (2 + dims + axis, 2 + axis)))
    fine = [length * patch for length in size]
    return blocks.permute(order).reshape(batch, channels // patch**dims, *fine)
