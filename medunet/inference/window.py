"""Sliding window over an image of any size, streamed along the first axis.

Logits of overlapping windows (and of mirrored copies) are averaged with Gaussian weights within a network;
the probabilities (softmax) of an ensemble are averaged, resampled linearly and turned into labels row by row.
Held at a time: networks x labels x patch_voxels[0] rows of the network's grid, never all labels of the image.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from medunet.errors import DataError
from medunet.inference.rows import LabelRows
from medunet.inference.tiles import Tiling, cut

Precision = Literal["bf16", "fp32"]


@dataclass(frozen=True)
class Window:
    """How an image is covered and computed."""

    patch_voxels: tuple[int, ...]
    overlap: float = 0.5
    mirror_axes: tuple[int, ...] = ()  # of the image without its channel axis
    batch_size: int = 1
    precision: Precision = "bf16"
    device: torch.device | str = "cpu"


def predict_labels(  # noqa: PLR0913 - the one entrance; everything after the image is a keyword
    networks: Sequence[nn.Module],
    image: Tensor,
    *,
    patch_voxels: Sequence[int],
    out_shape: Sequence[int],
    overlap: float = 0.5,
    mirror_axes: Sequence[int] = (),
    batch_size: int = 1,
    precision: Precision = "bf16",
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return the labels (*out_shape) of an image (C, *S): uint8 or int16, on the CPU.

    Both grids cover the same box. The networks are on `device`. Where the image is smaller than the patch, or
    a network has a margin, the image is mirrored.
    """
    _check(networks, image, patch_voxels, out_shape)
    window = Window(tuple(patch_voxels), overlap, tuple(mirror_axes), batch_size, precision, device)
    with torch.inference_mode(), _evaluating(networks):
        rows = stream(networks, image, window)
        probs = next(rows)
        writer = LabelRows(tuple(image.shape[1:]), out_shape, probs.shape[1])
        writer.add(probs)
        for probs in rows:
            writer.add(probs)
    return writer.labels


def stream(networks: Sequence[nn.Module], image: Tensor, window: Window) -> Iterator[Tensor]:
    """Yield probabilities (rows, K, *S[1:]) of an image (C, *S): rows in order, each once, when final."""
    tiling = Tiling(tuple(image.shape[1:]), window.patch_voxels, window.overlap)
    weight = tiling.weight().to(window.device)
    sums: list[Tensor] = []  # per network (K, patch rows, *padded[1:]): weighted sums of logits
    for first, following in tiling.steps():
        for number, network in enumerate(networks):
            for boxes, logits in _slab(network, image, window, tiling, first):
                if number == len(sums):
                    rows, *across = (window.patch_voxels[0], *tiling.padded[1:])
                    sums.append(torch.zeros(logits.shape[1], rows, *across, device=window.device))
                for box, one in zip(boxes, logits, strict=True):
                    sums[number][(slice(None), slice(None), *box)] += one * weight
        final = tiling.final(first, following)
        if final[0].stop > final[0].start:
            share = tiling.covered(first, final).to(window.device)
            yield _probabilities([total[(slice(None), *final)] for total in sums], share)
        for total in sums:
            _advance(total, following - first)


def _slab(
    network: nn.Module, image: Tensor, window: Window, tiling: Tiling, first: int
) -> Iterator[tuple[list[tuple[slice, ...]], Tensor]]:
    """Yield, for one start along the first axis, batches of boxes across and their logits (B, K, *patch)."""
    patch = window.patch_voxels
    margin: tuple[int, ...] = getattr(network, "margin", (0,) * len(patch))
    size = [length + 2 * lost for length, lost in zip(patch, margin, strict=True)]
    places = [(first, *rest) for rest in itertools.product(*tiling.grid[1:])]
    for start in range(0, len(places), window.batch_size):
        batch = places[start : start + window.batch_size]
        inputs = torch.stack([cut(image, tiling.corner(place, margin), size) for place in batch])
        boxes = [
            tuple(slice(at, at + length) for at, length in zip(place[1:], patch[1:], strict=True))
            for place in batch
        ]
        yield boxes, _logits(network, inputs.to(window.device), window)


def _logits(network: nn.Module, inputs: Tensor, window: Window) -> Tensor:
    """Return float32 logits (B, K, *patch), averaged over mirrored copies."""
    copies = []
    for flip in _flips(window.mirror_axes):
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=window.precision == "bf16"):
            logits = network(inputs.flip(flip) if flip else inputs)
        copies.append(logits.float().flip(flip) if flip else logits.float())
    return copies[0] if len(copies) == 1 else torch.stack(copies).mean(0)


def _flips(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Return every subset of image axes, as axes of a batch (N, C, *S)."""
    counts = range(len(axes) + 1)
    subsets = (subset for count in counts for subset in itertools.combinations(axes, count))
    return [tuple(axis + 2 for axis in subset) for subset in subsets]


def _probabilities(logit_sums: Sequence[Tensor], share: Tensor) -> Tensor:
    """Return the networks' mean probabilities (rows, K, *S) from weighted sums (K, rows, *S) of logits."""
    probs = torch.softmax(logit_sums[0] / share, 0)
    for total in logit_sums[1:]:
        probs += torch.softmax(total / share, 0)
    return (probs / len(logit_sums)).transpose(0, 1)


def _advance(total: Tensor, rows: int) -> None:
    """Move sums (K, rows, *S) up by finished rows, in place, and clear what becomes free."""
    kept = max(0, total.shape[1] - rows)
    for label in total:  # one label at a time: the copy stays small
        label[:kept] = label[rows : rows + kept].clone()
    total[:, kept:] = 0


@contextmanager
def _evaluating(networks: Sequence[nn.Module]) -> Iterator[None]:
    training = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for network, was_training in zip(networks, training, strict=True):
            network.train(was_training)


def _check(
    networks: Sequence[nn.Module], image: Tensor, patch_voxels: Sequence[int], out_shape: Sequence[int]
) -> None:
    if not networks:
        raise DataError("predict: found no network, expected one or more. Train at least one fold first.")
    dims = image.ndim - 1
    if dims not in (2, 3) or len(patch_voxels) != dims or len(out_shape) != dims or 0 in image.shape:
        raise DataError(
            f"predict: found an image (C, *S) of shape {tuple(image.shape)}, a patch of "
            f"{tuple(patch_voxels)} and an output of {tuple(out_shape)} voxels; expected 2 or 3 filled axes "
            "in each. Use a run that was trained on images with as many axes."
        )
