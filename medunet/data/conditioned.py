"""Patches with what is known of their case, for a generator of images or of masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from medunet.data.sampling import PatchSource

SDF_VOXELS = 8.0  # signed distances are cut at so many voxels, and divided by them


@dataclass
class ConditionedSource(PatchSource):
    """Draws patches as `PatchSource` does; codes (cases, A) of the attributes come third.

    distances_of: with a number of labels, signed distances of the mask take the place of the image.
    """

    codes: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    distances_of: int = 0

    def patch(self, position: int, share: float = 0.0) -> tuple[Tensor, ...]:
        """Return patch `position`: image (C, *patch), mask (*patch) int64 and codes (A,)."""
        image, mask, *_ = super().patch(position, share)
        if self.distances_of:
            image = signed_distances(mask.numpy(), self.distances_of)
        return image, mask, torch.from_numpy(self.codes[self.case_index(position)])


def signed_distances(mask: NDArray[Any], labels: int) -> Tensor:
    """Return (labels, *S): distances to each label's border, positive inside, from -1 to 1.

    1 is a distance of `SDF_VOXELS` and more. A label that is absent is -1 everywhere.
    """
    out = np.full((labels, *mask.shape), -1.0, np.float32)
    for label in np.unique(mask[mask > 0]):
        inside = mask == label
        if inside.all():
            out[label - 1] = 1.0
            continue
        distance = distance_transform_edt(inside) - distance_transform_edt(~inside)
        out[label - 1] = np.clip((distance - 0.5 * np.sign(distance)) / SDF_VOXELS, -1, 1)
    return torch.from_numpy(out)
