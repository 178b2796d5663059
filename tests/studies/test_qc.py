from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medunet.config.ranges import LabelRange
from medunet.io.volume import Grid, Volume
from medunet.studies.qc import Flag, examine, risk_of
from medunet.studies.training import Training
from tests.phantoms import ball, card

SHAPE = (40, 40, 40)
LIKE = LabelRange(volume_ml=(0.2, 0.6), always=True, largest_piece=0.95, at_border=False)
TRAINING = Training(
    spacing_mm=((0.9, 1.1),) * 3,
    extent_mm=((35.0, 45.0),) * 3,
    intensity=((90.0, 110.0),),
    labels={1: LIKE, 2: LIKE},
)


def volume(spacing_mm: float = 1.0, bright: float = 100.0) -> Volume:
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    image = np.full((1, *SHAPE), bright, np.float32)
    return Volume(image, affine, Grid.of(SHAPE, affine), Path("x.nii"))


def mask(*, radius: float = 4.5, centre: float = 12.0) -> np.ndarray:
    found = np.zeros(SHAPE, np.uint8)
    found[ball(SHAPE, (centre, 12, 12), radius)] = 1
    found[ball(SHAPE, (28, 28, 28), 4.5)] = 2
    return found


def codes(flags: list[Flag]) -> list[str]:
    return [flag.code for flag in flags]


def in_pieces() -> np.ndarray:
    found = mask()
    found[ball(SHAPE, (12, 30, 12), 3.0)] = 1
    return found


def without_two() -> np.ndarray:
    found = mask()
    found[found == 2] = 0
    return found


def test_a_usual_result_raises_nothing():
    flags = examine(volume(), mask(), card(), TRAINING)
    assert flags == []
    assert risk_of(flags) == 0.0


@pytest.mark.parametrize(
    ("found", "scan", "expected"),
    [
        (np.zeros(SHAPE, np.uint8), volume(), ["empty"]),
        (without_two(), volume(), ["missing"]),
        (in_pieces(), volume(), ["fragmented"]),
        (mask(centre=3.0), volume(), ["cut"]),
        (mask(radius=9.0), volume(), ["volume"]),
        (mask(radius=2.0), volume(), ["volume"]),
        (mask(), volume(spacing_mm=1.22), ["spacing"]),
        (mask(radius=4.0), volume(bright=300.0), ["intensity"]),
    ],
)
def test_what_is_odd_is_flagged(found: np.ndarray, scan: Volume, expected: list[str]):
    flags = examine(scan, found, card(), TRAINING)
    assert [code for code in codes(flags) if code != "volume" or code in expected] == expected
    assert 0.2 <= risk_of(flags) <= 0.9


def test_a_small_field_of_view_is_flagged():
    small = replace(TRAINING, extent_mm=((60.0, 80.0),) * 3)
    assert codes(examine(volume(), mask(), card(), small)) == ["field_of_view"]


def test_remarks_of_the_choice_and_of_the_reader_are_doubts():
    scan = replace(volume(), warnings=("3 voxels were not numbers",))
    assert codes(examine(scan, mask(), card(), TRAINING, ["2 series fit"])) == ["series", "reading"]


def test_what_training_does_not_say_is_not_held_against_a_result():
    silent = Training(spacing_mm=((1.0, 1.0),) * 3)
    assert codes(examine(volume(), mask(radius=9.0), card(), silent)) == []
    assert codes(examine(volume(), in_pieces(), card(), silent)) == ["fragmented"]
    never = replace(TRAINING, labels={1: LIKE.model_copy(update={"always": False})})
    assert examine(volume(), np.zeros(SHAPE, np.uint8), card(), never)[0].weight == 0.3
    at_border = replace(TRAINING, labels={1: LIKE.model_copy(update={"at_border": True}), 2: LIKE})
    assert codes(examine(volume(), mask(centre=3.0), card(), at_border)) == []


def test_the_farther_outside_the_graver():
    weights = [examine(volume(), mask(radius=r), card(), TRAINING)[0].weight for r in (6.0, 8.0, 11.0)]
    assert weights == sorted(weights)
    assert weights[0] < weights[-1] <= 0.8
