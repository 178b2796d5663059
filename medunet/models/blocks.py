"""What the networks share: fast convolutions and normalisation, their shape, the heads.

On a CPU everything runs in channels-last memory, instance norm as one batch norm per sample, and a
convolution over concatenated features as a sum of convolutions: the same mathematics in 2/3 to 9/10 of the
time. Weights stay contiguous, so that they can be saved and averaged as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

NormName = Literal["instance", "group"]
SLOPE = 0.01  # of LeakyReLU, as in nnU-Net
EPSILON = 1e-5


class Shape(TypedDict):
    """What the plan decides about a network; every network's `build` takes these by keyword."""

    dims: int
    inputs: int
    outputs: int
    strides: Sequence[Sequence[int]]  # one per stage, the first all ones
    kernels: Sequence[Sequence[int]]
    features: Sequence[int]
    deep_supervision: bool


def total_stride(strides: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return by how much the deepest stage is coarser than the input, per axis."""
    return tuple(math.prod(steps) for steps in zip(*strides, strict=True))


def round_up(patch: Sequence[int], multiple: Sequence[int]) -> tuple[int, ...]:
    """Return the smallest patch that is at least as large and a multiple, per axis."""
    return tuple(-(-max(1, size) // step) * step for size, step in zip(patch, multiple, strict=True))


def fast_layout(values: Tensor) -> Tensor:
    """Return the same values, in channels-last memory on a CPU."""
    if values.device.type != "cpu":
        return values
    last = torch.channels_last if values.ndim == 4 else torch.channels_last_3d
    return values.contiguous(memory_format=last)


class Conv(nn.Module):
    """A convolution of one tensor, or of several as if they were concatenated; He initialisation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        *,
        padded: bool = True,
        bias: bool = False,
    ) -> None:
        """Draw weights (outputs, inputs, *kernel); `inputs` counts the channels of all parts."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *kernel))
        nn.init.kaiming_normal_(self.weight, a=SLOPE)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.stride = tuple(stride)
        self.padding = tuple(size // 2 if padded else 0 for size in kernel)

    def forward(self, *parts: Tensor) -> Tensor:
        """Map parts (N, C_i, *S) to (N, outputs, *S / stride)."""
        if parts[0].device.type != "cpu" and len(parts) > 1:
            parts = (torch.cat(parts, 1),)
        weights = torch.split(self.weight, [part.shape[1] for part in parts], 1)
        out = self._convolve(parts[0], weights[0], self.bias)
        for part, weight in zip(parts[1:], weights[1:], strict=True):
            out = out + self._convolve(part, weight, None)
        return out

    def _convolve(self, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        convolve = functional.conv2d if features.ndim == 4 else functional.conv3d
        return convolve(features, fast_layout(weight), bias, self.stride, self.padding)


class Up(nn.Module):
    """A transposed convolution whose kernel is its stride: every voxel becomes a block of voxels."""

    def __init__(self, inputs: int, outputs: int, stride: Sequence[int], *, bias: bool = False) -> None:
        """Draw weights (inputs, outputs, *stride)."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs, *stride))
        nn.init.normal_(self.weight, std=math.sqrt(2 / inputs))  # each output voxel sees `inputs` values
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.stride = tuple(stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, inputs, *S) to (N, outputs, *S * stride)."""
        convolve = functional.conv_transpose2d if features.ndim == 4 else functional.conv_transpose3d
        return convolve(features, fast_layout(self.weight), self.bias, self.stride)


class Norm(nn.Module):
    """Instance normalisation (per sample and channel), or group normalisation of 8 channels; affine."""

    def __init__(self, features: int, kind: NormName) -> None:
        """Start as the plain normalisation."""
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.groups = 0 if kind == "instance" else max(1, features // 8) if features % 8 == 0 else 1

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, *S) to the same shape with mean 0 and variance 1, then the learned affine map."""
        weight, bias = self.weight, self.bias
        if self.groups:
            return functional.group_norm(features, self.groups, weight, bias, EPSILON)
        leaves = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if features.device.type == "cpu" and not leaves:  # others have a fast kernel of their own for it
            return torch.cat([_over_batch(sample, weight, bias) for sample in torch.split(features, 1)])
        return torch.instance_norm(features, weight, bias, None, None, True, 0.0, EPSILON, True)


def _over_batch(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Batch norm; over a batch of one it is instance norm, and has a fast channels-last kernel."""
    return torch.batch_norm(features, weight, bias, None, None, True, 0.0, EPSILON, False)


class ConvNorm(nn.Module):
    """Convolution, normalisation and, unless it is switched off, LeakyReLU."""

    def __init__(self, conv: Conv, norm: NormName, *, activate: bool = True) -> None:
        """Follow `conv` by a fresh normalisation."""
        super().__init__()
        self.conv = conv
        self.norm = Norm(conv.weight.shape[0], norm)
        self.activate = activate

    def forward(self, *parts: Tensor) -> Tensor:
        """Map (N, C_i, *S) each to (N, outputs, *S / stride)."""
        out: Tensor = self.norm(self.conv(*parts))
        return functional.leaky_relu(out, SLOPE, inplace=True) if self.activate else out


class Head(nn.Module):
    """A 1x1 convolution to logits; starts without a strong opinion."""

    def __init__(self, inputs: int, outputs: int, dims: int) -> None:
        """Draw weights (outputs, inputs, 1, 1[, 1])."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, *(1,) * dims))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.weight, std=0.5 / math.sqrt(inputs))

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, inputs, *S) to logits (N, outputs, *S)."""
        convolve = functional.conv2d if features.ndim == 4 else functional.conv3d
        return convolve(features, fast_layout(self.weight), self.bias)
