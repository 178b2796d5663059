"""What only shows when cases are compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medunet.data.doctor import Examined, Facts, Rules, Subject
from medunet.data.outliers import across, robust_z

ROOT = Path("data")


def case(name: str, **changes: object) -> Examined:
    rng = np.random.default_rng(len(name) + ord(name[-1]))
    values: dict[str, object] = {
        "shape": (40, 40, 40),
        "spacing_mm": (1.0, 1.0, 1.0),
        "low": 0.0,
        "high": 100.0 + rng.uniform(),
        "voxel_hash": name,
        "labels": (1, 2),
    }
    place = ROOT / f"{name}.nii.gz"
    return Examined(Subject(name, place, place), (), Facts(**(values | changes)))  # type: ignore[arg-type]


def kinds(cases: list[Examined], rules: Rules | None = None) -> dict[str, str]:
    return {finding.path.name: finding.kind for finding in across(cases, rules or Rules(), ROOT)}


def test_like_cases_have_no_finding() -> None:
    assert kinds([case(f"c{i}") for i in range(20)]) == {}


def test_the_same_voxels_twice_are_told_with_both_names() -> None:
    (finding,) = across([case("a"), case("b", voxel_hash="a"), case("c")], Rules(), ROOT)
    assert finding.kind == "duplicate"
    assert finding.path.name == "b.nii.gz"
    assert "a.nii.gz" in finding.found


def test_one_case_with_another_spacing_shape_or_range_is_told() -> None:
    many = [case(f"c{i}") for i in range(20)]
    assert kinds([*many, case("mm", spacing_mm=(1.0, 1.0, 10.0))]) == {"mm.nii.gz": "outlier"}
    assert kinds([*many, case("big", shape=(40, 40, 400))]) == {"big.nii.gz": "outlier"}
    assert kinds([*many, case("hot", high=1e6)]) == {"hot.nii.gz": "intensity"}
    assert kinds([*many, case("hot", high=1e6)], Rules(calibrated=True)) == {"hot.nii.gz": "outlier"}


def test_few_cases_have_no_outliers_and_a_third_of_them_is_a_mixed_set() -> None:
    assert kinds([*(case(f"c{i}") for i in range(5)), case("mm", spacing_mm=(9.0, 9.0, 9.0))]) == {}
    mixed = [*(case(f"c{i}") for i in range(20)), *(case(f"z{i}", shape=(90, 90, 90)) for i in range(9))]
    assert kinds(mixed) == {"data": "mixed"}


def test_gaps_and_labels_that_never_occur_are_told() -> None:
    assert kinds([case("a", labels=(1, 3))]) == {"data": "gap"}
    named = Rules(labels={1: "liver", 3: "spleen"})
    assert kinds([case("a", labels=(1, 3))], named) == {}
    (finding,) = across([case("a", labels=(1,))], named, ROOT)
    assert finding.kind == "absent"
    assert "3 spleen" in finding.found


def test_robust_z_is_in_standard_deviations() -> None:
    values = np.random.default_rng(0).normal(0, 2.0, (100_000, 1))
    away = robust_z(values)
    assert 0.31 < float((away > 1).mean()) < 0.325  # of a normal distribution: 31.7 %
