"""Agreement of readers on one case and on many: outlines with known distances, verdicts, objects."""

from __future__ import annotations

import numpy as np
import pytest

from medunet.errors import DataError
from medunet.review.agreement import of, of_verdicts, over_cases

SPACING_MM = (1.0, 2.0, 3.0)
LABELS = {1: "liver", 2: "tumour"}


def box(low: int, high: int, label: int = 1) -> np.ndarray:
    mask = np.zeros((20, 12, 8), np.uint8)
    mask[low:high, 3:9, 2:6] = label
    return mask


def test_boxes_shifted_by_two_voxels() -> None:
    """8 of 10 planes are shared: Dice 0.8; the far faces are 2 voxels = 2 mm apart."""
    found = of({"a": box(4, 14), "b": box(6, 16)}, LABELS, SPACING_MM)
    liver, tumour, both = found.pairs
    assert (liver.first, liver.second, liver.label) == ("a", "b", "liver")
    assert liver.dice == pytest.approx(0.8)
    assert liver.hd95_mm == pytest.approx(2.0)
    assert liver.first_ml == pytest.approx(10 * 6 * 4 * 6 / 1000)
    assert (tumour.dice, tumour.hd95_mm, tumour.second_ml) == (None, None, 0.0)
    assert (both.label, both.dice) == ("all", liver.dice)
    assert found.lowest_dice == liver.dice


def test_three_readers_are_three_pairs_and_the_odd_one_is_told() -> None:
    masks = {"a": box(4, 14), "b": box(4, 14), "c": box(2, 8)}
    found = of(masks, {1: "liver"}, SPACING_MM)
    assert [(p.first, p.second) for p in found.pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [p.dice for p in found.pairs] == pytest.approx([1.0, 0.5, 0.5])
    assert np.array_equal(found.consensus.mask, box(4, 14))
    said = found.as_json()
    assert said["staple"]["liver"]["c"]["sensitivity"] == pytest.approx(0.4, abs=0.01)
    assert said["staple"]["liver"]["a"]["sensitivity"] == pytest.approx(1.0, abs=0.01)
    assert "mask" not in said


def test_objects_are_compared_however_they_are_numbered() -> None:
    first = np.zeros((16, 16), np.uint16)
    first[2:6, 2:6], first[8:12, 8:12] = 7, 4000
    second = np.where(first > 0, first % 7 + 1, 0).astype(np.uint16)
    found = of({"a": first, "b": second}, {}, (0.5, 0.5), instances=True)
    assert [(p.label, p.dice) for p in found.pairs] == [("all", 1.0)]


def test_over_cases_patients_are_drawn_and_a_case_counts_once() -> None:
    cases = [of({"b": box(4, 14), "a": box(4 + n, 14 + n)}, {1: "liver"}, SPACING_MM) for n in (0, 1, 2, 3)]
    cases.append(of({"a": box(4, 14), "b": box(4, 14), "c": box(2, 8)}, {1: "liver"}, SPACING_MM))
    rows = over_cases(cases, ["p1", "p1", "p2", "p3", "p4"])
    pair = rows[0]
    assert (pair["first"], pair["second"], pair["label"]) == ("a", "b", "liver")
    assert (pair["dice"]["n"], pair["dice"]["patients"]) == (5, 4)
    assert pair["dice"]["mean"] == pytest.approx(np.mean([1, 0.9, 0.8, 0.7, 1]))
    assert pair["dice"]["ci95"][0] < pair["dice"]["mean"] < pair["dice"]["ci95"][1]
    every = rows[-1]
    assert (every["first"], every["dice"]["n"]) == ("any", 5)
    assert every["dice"]["mean"] == pytest.approx(np.mean([1, 0.9, 0.8, 0.7, 2 / 3]))


def test_verdicts_of_two_are_cohens_and_of_three_fleiss_too() -> None:
    two = {str(n): {"a": "accepted" if n % 2 else "rejected", "b": "rejected"} for n in range(6)}
    assert {name: kappa.kind for name, kappa in of_verdicts(two).items()} == {"a, b": "cohen"}
    three = {case: found | {"c": found["a"]} for case, found in two.items()} | {"x": {"a": "accepted"}}
    found = of_verdicts(three, {case: case for case in three})
    assert set(found) == {"a, b", "a, c", "b, c", "all"}
    assert found["a, c"].value == 1.0
    assert found["a, b"].value == pytest.approx(0.0)
    assert (found["all"].kind, found["all"].n) == ("fleiss", 6)


def test_one_reader_is_no_agreement() -> None:
    with pytest.raises(DataError, match="two readers"):
        of({"a": box(4, 14)}, LABELS, SPACING_MM)
