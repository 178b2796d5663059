"""Labels on another grid from rows of probabilities; all labels at full resolution are never held."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

CHUNK = 2**22  # numbers held at output resolution at a time (16 MB); at least one row of all labels


class LabelRows:
    """Takes rows of probabilities in order along the first axis; `labels` is (*out_shape) on the CPU.

    Linear in every axis; the outer corners of both grids coincide, as in `geometry.with_spacing`.
    """

    def __init__(self, shape: Sequence[int], out_shape: Sequence[int], outputs: int) -> None:
        """Start an empty mask for `outputs` labels on a grid of `shape` voxels."""
        dtype = torch.uint8 if outputs <= 256 else torch.int16
        self.labels = torch.zeros(tuple(out_shape), dtype=dtype)
        self._shape = tuple(shape)
        self._low, self._high, self._share = _sources(shape[0], out_shape[0])
        self._held: Tensor | None = None  # (rows, K, *S[1:]), the first of them is row self._first
        self._first = 0
        self._done = 0  # rows of `labels` that are final

    def add(self, probs: Tensor) -> None:
        """Take the next rows (rows, K, *shape[1:]) and finish every output row that they complete."""
        held = probs if self._held is None else torch.cat((self._held, probs))
        end = self._first + held.shape[0]
        ready = int((self._high < end).sum())
        per_row = held.shape[1] * math.prod(self.labels.shape[1:])
        step = max(1, CHUNK // per_row)
        for start in range(self._done, ready, step):
            self._finish(held, slice(start, min(start + step, ready)))
        self._done = ready
        keep = min(int(self._low[ready]), end) if ready < len(self._low) else end
        self._held, self._first = held[keep - self._first :].clone(), keep

    def _finish(self, held: Tensor, rows: slice) -> None:
        low, high = (index[rows].to(held.device) - self._first for index in (self._low, self._high))
        used = held[int(low[0]) : int(high[-1]) + 1]
        # A label that wins somewhere has 1 / K or more there, and so at a voxel it is blended from.
        peak = used.transpose(0, 1).flatten(1).amax(1)
        kept = (peak >= 0.999 / held.shape[1]).nonzero()[:, 0]
        used = used if len(kept) == held.shape[1] else used[:, kept]
        if self._shape[0] != self.labels.shape[0]:
            share = self._share[rows].to(used).view(-1, *(1,) * (used.ndim - 1))
            used = used[low - low[0]].lerp(used[high - low[0]], share)
        size = tuple(self.labels.shape[1:])
        if tuple(used.shape[2:]) != size:
            used = functional.interpolate(used, size, mode="linear" if len(size) == 1 else "bilinear")
        self.labels[rows] = kept[used.argmax(1)].to(self.labels)


def _sources(size: int, out_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each output voxel the two source voxels and the share of the second."""
    place = (torch.arange(out_size, dtype=torch.float64) + 0.5) * (size / out_size) - 0.5
    place = place.clamp(0, size - 1)
    low = place.floor().long()
    share = place - low
    return low, low + (share > 0), share
