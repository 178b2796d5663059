"""Samples and real cases as the gate compares them: on the generator's grid, in windows of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medunet.config.card import Card
from medunet.config.plan import Plan
from medunet.data.preprocess import network_shape, normalise, resample_image, resample_mask, to_outputs
from medunet.io.volume import Volume

TRIES = 8  # windows drawn in search of a labelled voxel


@dataclass(frozen=True)
class Piece:
    """A picture with its mask: a whole case, or a window of one."""

    case: str
    patient: str
    image: NDArray[np.float32]  # (C, X, Y[, Z]), normalised as the generator's plan says
    mask: NDArray[np.uint8]  # (X, Y[, Z]) network outputs

    @property
    def labelled_share(self) -> float:
        """Labelled voxels over all."""
        return float((self.mask > 0).mean())


def preprocessed(case: str, image: Volume, mask: Volume, card: Card, plan: Plan) -> Piece:
    """Return a sample on the plan's grid, preprocessed as for training; it counts as its own patient."""
    shape = network_shape(image.shape, image.spacing_mm, plan)
    pixels = normalise(resample_image(image.array, shape, image.spacing_mm), plan)
    return Piece(case, case, pixels, resample_mask(to_outputs(mask.array, card), shape))


def draw(piece: Piece, window: Sequence[int], plan: Plan, random: np.random.Generator) -> Piece:
    """Return a window of a piece at random, with a labelled voxel if one is found soon.

    Where images are normalised by their own statistics, so is the window: a sample of that size is, too. An
    axis that is shorter than the window stays as it is.
    """
    room = [max(0, n - m) for n, m in zip(piece.mask.shape, window, strict=True)]
    for _ in range(TRIES):
        corner = [int(random.integers(n + 1)) for n in room]
        box = tuple(slice(a, a + m) for a, m in zip(corner, window, strict=True))
        if piece.mask[box].any() or not any(room):
            break
    return cut(piece, box, plan)


def middle(piece: Piece, window: Sequence[int], plan: Plan) -> Piece:
    """Return the middle window of a piece."""
    corner = [max(0, n - m) // 2 for n, m in zip(piece.mask.shape, window, strict=True)]
    return cut(piece, tuple(slice(a, a + m) for a, m in zip(corner, window, strict=True)), plan)


def cut(piece: Piece, box: tuple[slice, ...], plan: Plan) -> Piece:
    """Return a part of a piece, normalised anew where images are normalised by themselves."""
    image, mask = piece.image[(slice(None), *box)], piece.mask[box]
    if mask.shape != piece.mask.shape and plan.normalisation == "zscore":
        image = normalise(image, plan)
    return Piece(piece.case, piece.patient, np.ascontiguousarray(image), np.ascontiguousarray(mask))
