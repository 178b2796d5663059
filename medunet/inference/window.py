"""Sliding window over an image of any size, streamed along the first axis.

Logits of overlapping windows (and of mirrored copies) are averaged with Gaussian weights within a network;
the probabilities (softmax) of an ensemble are averaged, resampled linearly and turned into labels row by row.
Held at a time: networks x labels x patch_voxels[0] rows of the network's grid, never all labels of the image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from medunet.errors import DataError
from medunet.inference import rows
from medunet.inference.forward import Forward, Place, Precision, Window
from medunet.inference.rows import LabelRows
from medunet.inference.sums import Sums
from medunet.inference.tiles import Tiling, seen

LARGE = 2**22  # voxels that are held for each label
FAR_LESS = 0.8


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
    where: Tensor | None = None,
) -> Tensor:
    """Return the labels (*out_shape) of an image (C, *S): uint8 or int16, on the CPU.

    Both grids cover the same box. The networks are on `device`. Where the image is smaller than the patch, or
    a network has a margin, the image is mirrored. where: voxels (*S) that may hold labels; a window without
    any is background and not computed.
    """
    _check(networks, image, patch_voxels, out_shape)
    if axis := streaming_axis(image.shape[1:], patch_voxels):
        order = (axis, *(other for other in range(image.ndim - 1) if other != axis))
        turned = predict_labels(
            [Turned(network, axis) for network in networks],
            image.movedim(axis + 1, 1),
            patch_voxels=[patch_voxels[old] for old in order],
            out_shape=[out_shape[old] for old in order],
            overlap=overlap,
            mirror_axes=[order.index(old) for old in mirror_axes],
            batch_size=batch_size,
            precision=precision,
            device=device,
            where=None if where is None else where.movedim(axis, 0),
        )
        return turned.movedim(0, axis)
    if where is not None and not where.any():
        return torch.zeros(tuple(out_shape), dtype=torch.uint8)
    window = Window(tuple(patch_voxels), overlap, tuple(mirror_axes), batch_size, precision, device)
    with torch.inference_mode(), evaluating(networks):
        found = stream(networks, image, window, where)
        probs = next(found)
        writer = LabelRows(tuple(image.shape[1:]), out_shape, probs.shape[1])
        writer.add(probs)
        for probs in found:
            writer.add(probs)
    return writer.labels


def streaming_axis(shape: Sequence[int], patch_voxels: Sequence[int]) -> int:
    """Return the axis along which least has to be held: the first, unless another is far better.

    Small images stay as they are.
    """
    padded = [max(size, length) for size, length in zip(shape, patch_voxels, strict=True)]
    held = [math.prod(padded) // size * length for size, length in zip(padded, patch_voxels, strict=True)]
    best = min(range(len(held)), key=held.__getitem__)
    return best if held[0] > LARGE and held[best] < FAR_LESS * held[0] else 0


class Turned(nn.Module):
    """A network for images whose axis `axis` comes first."""

    def __init__(self, network: nn.Module, axis: int) -> None:
        """Wrap a network; its margin turns with it."""
        super().__init__()
        self.network, self._axis = network, axis + 2
        if margin := getattr(network, "margin", None):
            self.margin = (margin[axis], *margin[:axis], *margin[axis + 1 :])

    def forward(self, image: Tensor) -> Tensor:
        """Map (N, C, *turned) to logits (N, K, *turned)."""
        logits: Tensor = self.network(image.movedim(2, self._axis))
        return logits.movedim(self._axis, 2)


def stream(
    networks: Sequence[nn.Module], image: Tensor, window: Window, where: Tensor | None = None
) -> Iterator[Tensor]:
    """Yield probabilities (rows, K, *S[1:]) of an image (C, *S): rows in order, each once, when final."""
    tiling = Tiling(tuple(image.shape[1:]), window.patch_voxels, window.overlap)
    shape = (window.patch_voxels[0], *tiling.padded[1:])
    forwards = [Forward(network, window) for network in networks]
    sums: dict[int, Sums] = {}  # by network; made when it is known how many labels there are
    for first, following in tiling.steps():
        places = [(first, *rest) for rest in itertools.product(*tiling.grid[1:])]
        wanted = [place for place in places if where is None or where[tiling.box(place)].any()]
        if not sums:
            wanted = wanted or places[:1]  # the first one tells how many labels there are
        for number, forward in enumerate(forwards):
            tiles = ((place, seen(image, tiling, place, forward.margin)) for place in wanted)
            for place, logits in forward(tiles):
                if number not in sums:
                    sums[number] = Sums(len(logits), shape, window.device)
                sums[number].add(_across(place, window), logits, tiling.share(place).to(window.device))
            for place in set(places) - set(wanted):
                share = tiling.share(place).to(window.device)
                sums[number].add_background(_across(place, window), share)
        yield from _probabilities(list(sums.values()), tiling.final(first, following))
        for total in sums.values():
            total.advance(following - first)


def _across(place: Place, window: Window) -> tuple[slice, ...]:
    """Return the rows of a slab that a tile covers, and where it lies across."""
    pairs = zip(place[1:], window.patch_voxels[1:], strict=True)
    return (slice(None), *(slice(at, at + length) for at, length in pairs))


def _probabilities(sums: Sequence[Sums], final: tuple[slice, ...]) -> Iterator[Tensor]:
    """Yield mean probabilities (rows, K, *S[1:]) of the networks in a box of final rows, some at a time."""
    numbers = len(sums[0].values) * math.prod(axis.stop - axis.start for axis in final[1:])
    step = max(1, rows.CHUNK // numbers)
    for start in range(final[0].start, final[0].stop, step):
        box = (slice(start, min(start + step, final[0].stop)), *final[1:])
        probs = torch.softmax(sums[0].means(box), 0)
        for total in sums[1:]:
            probs += torch.softmax(total.means(box), 0)
        yield (probs / len(sums)).transpose(0, 1)


@contextmanager
def evaluating(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Put networks in evaluation mode for a while."""
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
