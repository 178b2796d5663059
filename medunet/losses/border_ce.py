"""Weighted cross entropy that forces narrow borders between touching objects (Ronneberger 2015, eq. 1 and 2).

A background voxel weighs w_c + w0 * exp(-(d1 + d2)^2 / (2 sigma^2)), with distances d1 and d2 in voxels to
the nearest and the second nearest object; any other voxel weighs w_c. Objects are the connected components of
the foreground (neighbours share a face).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from medunet.config.base import Record

REACH = 5  # in sigma: further away a border adds less than w0 * 4e-6


class Options(Record):
    """The border's weight and width, as published by default."""

    w0: float = Field(10.0, ge=0)
    sigma: float = Field(5.0, gt=0)  # voxels
    balance: float = Field(10.0, ge=0)  # w_c makes labels weigh alike, up to this factor; 0: w_c is 1


def build(options: Options) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the weighted mean cross entropy over voxels."""

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        labels = logits.shape[1]
        maps = [weight_map(mask, labels, options) for mask in target.cpu().numpy()]
        weights = torch.from_numpy(np.stack(maps)).to(logits.device)
        per_voxel = functional.cross_entropy(logits.float(), target, reduction="none")
        return (weights * per_voxel).sum() / weights.sum()

    return loss


def weight_map(mask: NDArray[np.int64], labels: int, options: Options) -> NDArray[np.float32]:
    """Return the weight of every voxel of a mask (*S) with values 0 to labels - 1."""
    return (class_weights(mask, labels, options.balance) + border_weights(mask, options)).astype(np.float32)


def class_weights(mask: NDArray[np.int64], labels: int, limit: float) -> NDArray[np.float64]:
    """Return how much rarer than an even share each voxel's label is, at most `limit`; 1 where that is 0."""
    if not limit:
        return np.ones(mask.shape)
    counts = np.bincount(mask.ravel(), minlength=labels)
    even = mask.size / np.count_nonzero(counts)
    return np.minimum(even / np.maximum(counts, 1), limit)[mask]


def border_weights(mask: NDArray[np.int64], options: Options) -> NDArray[np.float64]:
    """Return w0 * exp(-(d1 + d2)^2 / (2 sigma^2)) on the background, else 0; 0 with fewer than 2 objects."""
    objects, _ = ndimage.label(mask > 0)
    nearest = np.full((2, *mask.shape), np.inf)
    reach = int(np.ceil(REACH * options.sigma))
    for number, tight in enumerate(ndimage.find_objects(objects), 1):
        box = tuple(slice(max(0, s.start - reach), s.stop + reach) for s in tight)
        distance = ndimage.distance_transform_edt(objects[box] != number)
        first, second = nearest[0][box], nearest[1][box]
        np.minimum(second, np.maximum(first, distance), out=second)
        np.minimum(first, distance, out=first)
    near = np.exp(-(nearest.sum(0) ** 2) / (2 * options.sigma**2))
    return np.where(mask == 0, options.w0 * near, 0.0)
