"""Pieces of a label: cut out with what surrounds them, drawn by size, varied without losing their size."""

from __future__ import annotations

import numpy as np
import pytest

from medunet.shapes import Source
from medunet.shapes.family import Refused
from medunet.shapes.pieces import Pool, free_at, pieces_in, put, varied
from tests.phantoms import ball


def test_a_piece_knows_its_place_and_what_is_around_it() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[:, 10:] = 1
    mask[5:8, 8:12] = 2  # half in the background, half in label 1
    mask[0, 0] = 2  # cut by the edge
    cut_one, piece = pieces_in(Source(mask, "a"), 2)
    assert not cut_one.whole
    assert (piece.whole, piece.low, piece.voxels, piece.identity) == (True, (5, 8), 12, "a")
    assert piece.around[:3].tolist() == [9, 9, 0]


def test_pieces_of_a_like_size_are_drawn() -> None:
    mask = np.zeros((400, 40), np.uint8)
    for i in range(60):
        mask[2 + 6 * i : 3 + 6 * i, 2 : 4 + i // 2] = 1
    pieces = tuple(sorted(pieces_in(Source(mask, "a"), 1), key=lambda piece: piece.voxels))
    pool = Pool(pieces, np.array([piece.voxels for piece in pieces]))
    drawn = {pool.like(20, np.random.default_rng(i)).voxels for i in range(50)}
    assert max(abs(n - 20) for n in drawn) <= 7
    assert len(drawn) > 5
    with pytest.raises(Refused, match="no training mask has a whole piece"):
        Pool((), np.zeros(0, np.int64)).like(5, np.random.default_rng(0))


@pytest.mark.parametrize(("shape", "factor"), [((30, 30), 1.0), ((30, 30), 1.5), ((24, 24, 24), 1.0)])
def test_a_varied_piece_has_the_size_that_was_asked(shape: tuple[int, ...], factor: float) -> None:
    mask = ball(shape, tuple(n / 2 for n in shape), 5).astype(np.uint8)
    (piece,) = pieces_in(Source(mask, "a"), 1)
    spacing = (1.0,) * len(shape)
    regions = [
        varied(piece, factor * piece.voxels, 180.0, spacing, np.random.default_rng(i)) for i in range(12)
    ]
    sizes = [region.sum() / piece.voxels for region in regions]
    assert np.mean(sizes) == pytest.approx(factor, rel=0.06)
    assert all(region.any(axis=tuple(set(range(region.ndim)) - {a}))[[0, -1]].all()
               for region in regions for a in range(region.ndim))  # fmt: skip


def test_what_hangs_over_the_edge_is_cut() -> None:
    canvas = np.zeros((6, 6), np.uint8)
    square = np.ones((3, 3), bool)
    put(canvas, square, (-2, 4), 1)
    assert np.argwhere(canvas).tolist() == [[0, 4], [0, 5]]
    assert free_at(canvas > 0, square, (1, 3))
    assert not free_at(canvas > 0, square, (0, 3))
    assert free_at(canvas > 0, square, (9, 9))
