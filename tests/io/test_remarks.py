from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medunet.errors import DataError
from medunet.io.remarks import about_grid, about_values, replace_nonfinite


def test_finite_images_stay_as_they_are() -> None:
    image = np.array([[-5.0, 3e38]], np.float32)
    assert replace_nonfinite(Path("x"), image) == []
    assert image.tolist() == [[-5.0, pytest.approx(3e38)]]


def test_opposite_infinities_are_found_and_replaced() -> None:
    image = np.array([np.inf, -np.inf, np.nan, 2.0, 1.0], np.float32)
    (said,) = replace_nonfinite(Path("x"), image)
    assert image.tolist() == [1.0, 1.0, 1.0, 2.0, 1.0]
    assert said.startswith("3 voxels (60 %)")
    with pytest.raises(DataError, match="every voxel"):
        replace_nonfinite(Path("x"), np.full(3, np.nan, np.float32))


def test_usual_grids_need_no_remark() -> None:
    assert about_grid((64, 64, 20), (1.0, 1.0, 5.0)) == []
    assert about_grid((64, 64), (1.0, 1.0)) == []
    assert len(about_grid((64, 64, 1), (1.0, 1.0, 20.0))) == 2


def test_only_8_bit_volumes_are_suspected_of_wrapping() -> None:
    stored = np.random.default_rng(0).integers(0, 2, (9, 9, 9, 1)) * 255
    image = stored.astype(np.float32)
    assert len(about_values(stored.astype(np.uint8), image)) == 1
    assert about_values(stored.astype(np.int16), image) == []
    assert about_values(stored.astype(np.uint8)[..., 0], image) == []  # a colour picture
