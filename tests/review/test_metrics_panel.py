from __future__ import annotations

import numpy as np

from medunet.review.metrics_panel import panel
from tests.phantoms import two_balls


def test_rows_hold_volume_pieces_and_agreement_with_the_reference():
    _, mask = two_balls(0)
    edited = mask.copy()
    edited[0, 0, 0] = 2  # a second piece of label 2
    edited[mask == 1] = 0
    found = panel(edited, mask, (1, 2), (1.0, 1.0, 2.0))
    n = int(np.count_nonzero(mask == 2)) + 1
    assert (found.rows[2].voxels, found.rows[2].pieces, found.rows[1].voxels) == (n, 2, 0)
    assert found.rows[2].volume_ml == n * 0.002
    assert found.rows[2].area_mm2 is None
    assert found.rows[2].dice == 2 * (n - 1) / (2 * n - 1)
    assert found.rows[1].dice == 0.0
    assert found.rows[2].hd95_mm == 0.0
    assert found.rows[1].hd95_mm > 20  # not found at all: the diagonal
    assert found.changed_voxels == 1 + np.count_nonzero(mask == 1)


def test_without_a_reference_or_voxel_size_nothing_is_made_up():
    _, mask = two_balls(0, (40, 44))
    found = panel(mask, None, (1, 2, 3), (1.0, 1.0), spacing_known=False)
    assert found.rows[1].area_mm2 is None
    assert found.rows[1].dice is None
    assert found.rows[3].pieces == 0
    assert found.foreground_dice is None
    assert found.changed_voxels is None
    known = panel(mask, None, (1,), (0.5, 0.5))
    assert known.rows[1].area_mm2 == 0.25 * known.rows[1].voxels


def test_objects_are_counted_and_compared_as_one():
    numbers = np.zeros((10, 10), np.uint16)
    numbers[1:3, 1:3], numbers[5:8, 5:8] = 4, 300
    renumbered = np.where(numbers == 4, 5, numbers).astype(np.uint16)
    found = panel(renumbered, numbers, (1,), (1.0, 1.0), instances=True)
    assert (found.objects, found.changed_voxels, found.foreground_dice) == (2, 4, 1.0)
    assert found.rows[1].pieces == 2
