"""What can be counted in a mask: size, pieces, holes and topology of every label, and which labels touch.

Pieces hang together over faces, edges and corners, so the background does over faces only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, generate_binary_structure, label
from skimage.measure import euler_number

from medunet.geometry import voxel_volume_ml

Region = NDArray[np.bool_]
Facts = dict[str, float]


def facts_of(mask: NDArray[np.uint8], spacing_mm: Sequence[float]) -> dict[int, Facts]:
    """Return the facts of every label that occurs, by label.

    volume_ml (2D: area in 1000 mm^2) · pieces · largest_share: of the largest piece in all voxels · holes:
    parts of the outside that the label encloses · euler: pieces - tunnels + cavities · smallest_ml: of the
    smallest piece that does not touch the edge of the frame (left out where every piece does).
    """
    voxel_ml = voxel_volume_ml(spacing_mm)
    found: dict[int, Facts] = {}
    for number, box in enumerate(find_objects(mask), start=1):
        if box is not None:
            found[number] = _facts(mask[box] == number, cut_faces(box, mask.shape), voxel_ml)
    return found


def _facts(region: Region, faces: list[tuple[int, int]], voxel_ml: float) -> Facts:
    numbered, sizes = pieces_of(region)
    whole = np.delete(sizes, sorted(at_the_edge(numbered, faces) - {0}))[1:]
    facts = {
        "volume_ml": float(sizes[1:].sum() * voxel_ml),
        "pieces": float(len(sizes) - 1),
        "largest_share": float(sizes[1:].max() / sizes[1:].sum()),
        "holes": float(holes_of(region)[1]),
        "euler": float(euler_number(region, connectivity=region.ndim)),  # type: ignore[no-untyped-call]
    }
    return facts | ({"smallest_ml": float(whole.min() * voxel_ml)} if whole.size else {})


def pieces_of(region: Region) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the pieces numbered from 1, and the voxels of every number (of 0: the outside)."""
    numbered, count = label(region, generate_binary_structure(region.ndim, region.ndim))
    return numbered, np.bincount(numbered.ravel(), minlength=count + 1)


def holes_of(region: Region) -> tuple[Region, int]:
    """Return where the outside is enclosed, and in how many parts."""
    outside, count = label(np.pad(~region, 1, constant_values=True))
    inner = outside[(slice(1, -1),) * region.ndim]
    return inner > 1, count - 1  # the padding is the first part that is met


def cut_faces(box: tuple[slice, ...], shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return (axis, 0 or -1) for every face of a box that lies on the edge of the frame."""
    low = [(axis, 0) for axis, part in enumerate(box) if part.start == 0]
    return low + [(axis, -1) for axis, part in enumerate(box) if part.stop == shape[axis]]


def at_the_edge(numbered: NDArray[np.int32], faces: list[tuple[int, int]]) -> set[int]:
    """Return the numbers that occur on some faces of a box."""
    return {int(n) for axis, end in faces for n in np.unique(np.take(numbered, end, axis))}


def touching(mask: NDArray[np.uint8]) -> frozenset[tuple[int, int]]:
    """Return the pairs of foreground labels, the lower first, that share a face of a voxel somewhere."""
    pairs: set[tuple[int, int]] = set()
    for axis in range(mask.ndim):
        ahead: NDArray[Any] = np.moveaxis(mask, axis, 0)[1:]
        behind: NDArray[Any] = np.moveaxis(mask, axis, 0)[:-1]
        meet = (ahead != behind) & (ahead > 0) & (behind > 0)
        codes = np.unique(ahead[meet].astype(np.int64) * 256 + behind[meet])
        pairs |= {(min(code // 256, code % 256), max(code // 256, code % 256)) for code in codes.tolist()}
    return frozenset(pairs)
