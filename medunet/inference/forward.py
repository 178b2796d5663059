"""A network applied to tiles of an image: in batches, over mirrored copies, and to equal tiles only once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["bf16", "fp32"]
Place = tuple[int, ...]  # the first voxel of a tile
KEPT_BYTES = 2**29  # of logits of tiles without structure


@dataclass(frozen=True)
class Window:
    """How an image is covered and computed."""

    patch_voxels: tuple[int, ...]
    overlap: float = 0.5
    mirror_axes: tuple[int, ...] = ()  # of the image without its channel axis
    batch_size: int = 1
    precision: Precision = "bf16"
    device: torch.device | str = "cpu"
    first_pass: bool = False  # where labels may be is looked for first, where that pays


class Forward:
    """Gives logits of tiles. A tile of one value throughout (air beyond a CT's window, padding) is computed
    once for each such value: the network would only repeat itself, so nothing can be lost by it.
    """

    def __init__(self, network: nn.Module, window: Window) -> None:
        """Start with nothing remembered."""
        self._network, self._window = network, window
        self._known: dict[tuple[float, ...], Tensor] = {}
        self.margin: tuple[int, ...] = getattr(network, "margin", (0,) * len(window.patch_voxels))

    def __call__(self, tiles: Iterable[tuple[Place, Tensor]]) -> Iterator[tuple[Place, Tensor]]:
        """Yield each tile's place with its logits (K, *patch); tiles (C, *seen) come lazily, in any order."""
        waiting: list[tuple[Place, Tensor]] = []
        for place, tile in tiles:
            value = flat_value(tile)
            if value is None:
                waiting.append((place, tile))
            elif value in self._known:
                yield place, self._known[value]
            else:
                logits = self.batch([tile])[0]
                self._remember(value, logits)
                yield place, logits
            if len(waiting) == self._window.batch_size:
                yield from self._run(waiting)
                waiting = []
        if waiting:
            yield from self._run(waiting)

    def _run(self, waiting: Sequence[tuple[Place, Tensor]]) -> Iterator[tuple[Place, Tensor]]:
        places, tiles = zip(*waiting, strict=True)
        yield from zip(places, self.batch(tiles), strict=True)

    def batch(self, tiles: Sequence[Tensor]) -> Tensor:
        """Return logits (B, K, *patch), averaged over mirrored copies."""
        window = self._window
        inputs = torch.stack(list(tiles)).to(window.device)
        total: Tensor | None = None
        flips = _flips(window.mirror_axes)
        for flip in flips:
            with torch.autocast(inputs.device.type, torch.bfloat16, enabled=window.precision == "bf16"):
                logits = self._network(inputs.flip(flip) if flip else inputs)
            logits = logits.flip(flip).float() if flip else logits
            total = logits if total is None else logits.add_(total)
        assert total is not None
        return total if len(flips) == 1 else total.div_(len(flips))

    def _remember(self, value: tuple[float, ...], logits: Tensor) -> None:
        kept = logits if 2 * logits.nbytes <= KEPT_BYTES else logits.half()
        if (len(self._known) + 1) * kept.nbytes <= KEPT_BYTES:
            self._known[value] = kept


def flat_value(tile: Tensor) -> tuple[float, ...] | None:
    """Return the one value that each channel of a tile (C, *S) has throughout; None if it has structure."""
    flat = tile.flatten(1)
    if not torch.equal(flat[:, 0], flat[:, flat.shape[1] // 2]):  # most tiles: no need to look further
        return None
    low, high = flat.aminmax(dim=1)
    return tuple(low.tolist()) if torch.equal(low, high) else None


def _flips(axes: Sequence[int]) -> list[tuple[int, ...]]:
    """Return every subset of image axes, as axes of a batch (N, C, *S)."""
    counts = range(len(axes) + 1)
    subsets = (subset for count in counts for subset in itertools.combinations(axes, count))
    return [tuple(axis + 2 for axis in subset) for subset in subsets]
