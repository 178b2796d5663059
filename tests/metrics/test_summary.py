"""The numbers of many cases in the form that `--json` promises."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medunet.metrics.score import names, score
from medunet.metrics.summary import summary

LABELS = {1: "liver", 2: "spleen", 3: "gallbladder"}


def scores() -> list:
    first, second = np.zeros((2, 8, 8), np.uint8)
    first[:4], first[4:6] = 1, 2
    second[:4] = 1
    half = second.copy()
    half[2:4] = 0
    return [score(first, first, LABELS, (1.0, 1.0)), score(second, half, LABELS, (1.0, 1.0))]


def test_labels_measures_and_counts() -> None:
    found = summary(scores(), ["a", "b"], list(LABELS.values()))
    assert set(found) == {"labels", "mean_dice", "mean_dice_ci95", "foreground_dice"}
    assert list(found["labels"]) == ["liver", "spleen", "gallbladder"]
    assert set(found["labels"]["liver"]) == set(names())
    liver = found["labels"]["liver"]["dice"]
    assert liver["mean"] == pytest.approx((1 + 2 / 3) / 2)
    assert liver["n"] == 2
    assert liver["ci95"] == pytest.approx([2 / 3, 1.0])
    assert found["labels"]["spleen"]["dice"] == {
        "mean": 1.0,
        "median": 1.0,
        "ci95": None,
        "n": 1,
        "patients": 1,
    }


def test_the_mean_over_labels_leaves_out_labels_without_a_case() -> None:
    found = summary(scores(), ["a", "b"], list(LABELS.values()))
    assert found["labels"]["gallbladder"]["dice"]["mean"] is None
    assert found["mean_dice"] == pytest.approx(((1 + 2 / 3) / 2 + 1.0) / 2)
    low, high = found["mean_dice_ci95"]
    assert low <= found["mean_dice"] <= high


def test_nan_never_reaches_json() -> None:
    for cases, patients in ((scores(), ["a", "b"]), ([], [])):
        text = json.dumps(summary(cases, patients, list(LABELS.values())), allow_nan=False)
        assert "gallbladder" in text
    assert json.loads(text)["mean_dice"] is None
