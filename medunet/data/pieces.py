"""Shape of a label in a mask: is it in one piece, and does it end at the border of the image?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class Piece:
    """One label: its voxels, the share of them in its largest connected piece, the number of pieces."""

    voxels: int
    largest_share: float
    count: int
    at_border: bool


def pieces(mask: NDArray[Any]) -> Iterator[tuple[int, Piece]]:
    """Yield (label, what its voxels are like) for every label of a mask (X, Y[, Z]).

    Voxels that share a face, edge or corner are connected.
    """
    touching = ndimage.generate_binary_structure(mask.ndim, mask.ndim)
    for label, box in enumerate(ndimage.find_objects(mask), start=1):
        if box is None:
            continue
        inside = mask[box] == label
        numbered, count = ndimage.label(inside, touching)
        sizes = np.bincount(numbered.ravel())[1:]
        ends = any(part.start == 0 or part.stop == n for part, n in zip(box, mask.shape, strict=True))
        total = int(sizes.sum())
        yield label, Piece(total, float(sizes.max()) / total, int(count), ends)
