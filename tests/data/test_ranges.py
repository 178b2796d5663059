from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medunet.data.cases import find_cases
from medunet.data.fingerprint import Fingerprint, fingerprint
from medunet.data.pieces import pieces
from medunet.data.ranges import ranges_of
from tests.phantoms import ball, card, msd_folder, two_balls


def case(voxels: int, edge: float, **changes: object) -> Fingerprint:
    values = {
        "shape": (10, 10, 10),
        "spacing_mm": (edge, edge, 2 * edge),
        "spacing_known": True,
        "kind": "grey",
        "label_voxels": {1: voxels},
        "largest_piece": {1: 0.9},
        "samples": ((100.0 * edge,), (100.0 * edge + 2,)),
    }
    return Fingerprint.model_validate(values | changes)


def test_ranges_are_the_lowest_and_highest_of_the_cases():
    found = ranges_of([case(1000, 1.0), case(500, 2.0, largest_piece={1: 0.8}, at_border=(1,))], [1, 2])
    assert found.cases == 2
    assert found.spacing_mm == ((1.0, 2.0), (1.0, 2.0), (2.0, 4.0))
    assert found.extent_mm == ((10.0, 20.0), (10.0, 20.0), (20.0, 40.0))
    assert found.intensity == ((101.0, 201.0),)
    assert set(found.labels) == {1}  # label 2 is in no case
    one = found.labels[1]
    assert one.volume_ml == pytest.approx((2.0, 8.0))
    assert (one.always, one.largest_piece, one.at_border) == (True, 0.8, True)


def test_a_label_that_a_case_lacks_is_not_always_there():
    found = ranges_of([case(1000, 1.0), case(0, 1.0, label_voxels={})], [1])
    assert not found.labels[1].always
    assert found.labels[1].volume_ml == pytest.approx((2.0, 2.0))


def test_pieces_of_a_mask():
    mask = np.zeros((30, 30, 30), np.uint8)
    mask[ball(mask.shape, (8, 8, 8), 5)] = 3
    mask[ball(mask.shape, (22, 22, 22), 2)] = 3
    mask[29, 2:6, 3] = 5
    mask[28, 6, 4] = 5  # touches by a corner
    mask[10:12, 0, 10] = 7
    found = dict(pieces(mask))
    assert set(found) == {3, 5, 7}
    assert found[7].at_border
    assert (found[3].count, found[3].at_border) == (2, False)
    large, small = (int(ball(mask.shape, (15, 15, 15), r).sum()) for r in (5, 2))
    assert found[3].largest_share == pytest.approx(large / (large + small))
    assert (found[5].voxels, found[5].count, found[5].at_border) == (5, 1, True)
    assert dict(pieces(np.zeros((4, 4), np.uint8))) == {}


def test_a_fingerprint_knows_pieces_and_borders(tmp_path: Path):
    one = find_cases(card(), msd_folder(tmp_path / "data", 1)).cases[0]
    found = fingerprint(one, card(), "content", tmp_path / "store")
    assert found.largest_piece == {1: 1.0, 2: 1.0}
    assert found.at_border == ()
    assert set(ranges_of([found], card().labels).labels) == set(np.unique(two_balls(0)[1])) - {0}
