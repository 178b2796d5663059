"""Labels in a mask: how large each is, is it in one piece, and does it end at the border of the image?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from scipy import ndimage

from medunet.config.card import Card
from medunet.io.labels import counted
from medunet.io.volume import Volume


@dataclass(frozen=True)
class Piece:
    """One label: its voxels, the share of them in its largest connected piece, the number of pieces."""

    voxels: int
    largest_share: float
    count: int
    at_border: bool


def label_sizes(mask: NDArray[Any], volume: Volume, card: Card) -> dict[str, Mapping[str, float]]:
    """Return voxels and, where the voxel size is known, ml (3D) or mm2 (2D) of each label, by name."""
    counts = counted(mask, 255)
    voxels = {label.name: int(counts[value]) for value, label in card.labels.items()}
    if not volume.spacing_known:
        return {"voxels": voxels}
    unit = math.prod(volume.spacing_mm)
    name, unit = ("volume_ml", unit / 1000) if mask.ndim == 3 else ("area_mm2", unit)
    return {"voxels": voxels, name: {label: round(n * unit, 4) for label, n in voxels.items()}}


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
        sizes = counted(numbered, count)[1:]
        ends = any(part.start == 0 or part.stop == n for part, n in zip(box, mask.shape, strict=True))
        total = int(sizes.sum())
        yield label, Piece(total, float(sizes.max()) / total, int(count), ends)
