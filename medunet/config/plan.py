"""What the planner decided for a data set and a machine, and why."""

from __future__ import annotations

from typing import Literal

from medunet.config.base import Record


class ChannelStatistics(Record):
    """Intensities of one channel inside labelled voxels over the data set, in the unit of the files."""

    mean: float
    std: float
    percentile_00_5: float
    percentile_99_5: float


class Plan(Record):
    """Everything that inference needs to repeat the preprocessing, and what training chose.

    Axes are those of the RAS+ volume: (X, Y[, Z]).
    """

    dims: Literal[2, 3]
    channels: int
    outputs: int  # labels plus background
    spacing_mm: tuple[float, ...]
    normalisation: Literal["ct", "zscore"]
    statistics: tuple[ChannelStatistics, ...]
    patch_voxels: tuple[int, ...]
    batch_size: int
    strides: tuple[tuple[int, ...], ...]  # one per stage of the network; the first is all ones
    kernels: tuple[tuple[int, ...], ...]  # 1 along an axis that is too coarse, else 3
    features: tuple[int, ...]
    memory_gb: float  # the budget it was planned for
    device: Literal["cpu", "cuda", "mps"]
    reasons: tuple[str, ...]
