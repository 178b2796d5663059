"""The largest overlap that fits the time; flat tiles cost nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medunet.inference import budget
from medunet.inference.budget import computed_tiles, fit
from medunet.inference.forward import Window

WINDOW = Window((8, 8), overlap=0.5, precision="fp32")


def test_flat_tiles_are_counted_once_a_value() -> None:
    image = torch.zeros(1, 32, 16)
    assert computed_tiles(image, Window((8, 8), 0.0), (0, 0)) == 1
    image[:, 16:] = 5
    assert computed_tiles(image, Window((8, 8), 0.0), (0, 0)) == 2
    image[:, 3, 3] = 7
    assert computed_tiles(image, Window((8, 8), 0.0), (0, 0)) == 3
    assert computed_tiles(torch.randn(1, 32, 16), Window((8, 8), 0.5), (0, 0)) == 7 * 3


@pytest.mark.parametrize(
    ("seconds", "overlap", "expected"),
    [(1000, 0.5, 54), (54, 0.5, 54), (53, 0.3, 41), (40, 0.25, 30), (1, 0.1, 30)],
)
def test_the_largest_overlap_that_fits_is_chosen(
    monkeypatch: pytest.MonkeyPatch, seconds: float, overlap: float, expected: float
) -> None:
    monkeypatch.setattr(budget, "_measured", lambda *_: (1.0, 5.0))
    chosen = fit([nn.Identity()], torch.randn(1, 32, 32), WINDOW, (32, 32), float(seconds))
    assert chosen.overlap == overlap
    assert chosen.seconds == expected
