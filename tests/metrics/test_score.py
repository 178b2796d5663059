"""One case: all labels by name, the merged foreground, and how measures are found."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from medunet import metrics
from medunet.metrics.score import measure_of, names, score


def test_every_file_is_a_measure() -> None:
    files = {path.stem for path in (Path(metrics.__file__).parent / "measures").glob("*.py")} - {"__init__"}
    assert set(names()) == files
    assert names()[0] == "dice"


def test_labels_are_scored_one_by_one_and_together() -> None:
    truth, prediction = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    truth[:, :4], truth[:, 4:6] = 5, 9
    prediction[:, :4], prediction[:, 4:6] = 9, 5  # right place, wrong label
    found = score(truth, prediction, {5: "liver", 9: "spleen", 11: "gallbladder"}, (1.0, 1.0))
    assert found.labels["liver"].values["dice"] == 0.0
    assert (found.labels["liver"].truth_voxels, found.labels["liver"].predicted_voxels) == (40, 20)
    assert math.isnan(found.labels["gallbladder"].values["dice"])
    assert found.foreground_dice == 1.0


def test_values_that_the_card_does_not_name_are_no_foreground() -> None:
    truth = np.array([[1, 7, 0]], np.uint8)
    prediction = np.array([[1, 0, 7]], np.uint8)
    found = score(truth, prediction, {1: "liver", 2: "spleen"}, (1.0, 1.0))
    assert found.foreground_dice == 1.0


def test_the_field_of_view_reaches_labels_and_foreground() -> None:
    truth, prediction = np.array([[1, 2, 1]], np.uint8), np.array([[1, 2, 0]], np.uint8)
    fov = np.array([[1, 1, 0]], np.uint8)
    found = score(truth, prediction, {1: "a", 2: "b"}, (1.0, 1.0), fov=fov)
    assert (found.labels["a"].values["dice"], found.foreground_dice) == (1.0, 1.0)
    assert score(truth, prediction, {1: "a", 2: "b"}, (1.0, 1.0)).foreground_dice == pytest.approx(0.8)


def test_the_tolerance_is_passed_on() -> None:
    truth = np.zeros((20, 20), np.uint8)
    truth[5:15, 5:15] = 1
    moved = np.roll(truth, 2, axis=0)
    strict, lax = (score(truth, moved, {1: "a"}, (1.0, 1.0), tolerance_mm=mm) for mm in (1.0, 2.0))
    assert strict.labels["a"].values["nsd"] < lax.labels["a"].values["nsd"] == 1.0


def test_a_measure_is_found_by_its_file_name() -> None:
    assert measure_of("hd95_mm").TITLE == "HD95"
