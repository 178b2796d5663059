"""Runs are compared on the same cases only, patient by patient."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from medunet.cli import app
from medunet.errors import ConfigError, DataError
from medunet.metrics.score import names
from medunet.workflows.compare import ALL, arms_of, compare, markdown
from medunet.workflows.paired_scores import paired

CASES = [f"p{number:02d}_{visit}" for number in range(12) for visit in "ab"]
Dice = Callable[[str, str], float | None]


def noise(case: str, seed: int) -> float:
    return float(np.random.default_rng([seed, *case.encode()]).normal(0, 0.01))


def evaluated(folder: Path, dice: Dice, cases: list[str] = CASES, steps: int = 100) -> Path:
    """A folder as `medunet evaluate` leaves it for one fold."""
    (folder / "evaluation").mkdir(parents=True)
    with (folder / "evaluation/cases.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["case", "patient", "label", *names(), "truth_voxels"], restval="")
        writer.writeheader()
        for case in cases:
            for label in ("bright", "middling"):
                value = dice(case, label)
                told = {"case": case, "patient": case[:3], "label": label, "truth_voxels": len(case)}
                writer.writerow(told | {"dice": "" if value is None else value})
    (folder / "fold.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")
    return folder


def arm(root: Path, name: str, gain: float = 0.0, seeds: int = 3, steps: int = 100) -> list[Path]:
    """Runs of several seeds; label `bright` is better by `gain`."""

    def of(seed: int) -> Dice:
        return lambda case, label: (
            0.7 + gain * (label == "bright") + noise(case, 0) + noise(case + name, seed)
        )

    return [evaluated(root / f"{name}{seed}", of(seed), steps=steps) for seed in range(seeds)]


def test_a_true_gain_is_found_and_luck_is_not(tmp_path: Path, capsys):
    arms = {"real": arm(tmp_path, "real"), "mixed": arm(tmp_path, "mixed", 0.05)}
    result = compare(arms)
    rows = {row["label"]: row for row in result["comparisons"]}
    assert rows["bright"]["mean"] == pytest.approx(0.05, abs=0.005)
    assert rows["bright"]["ci95"][0] > 0.03
    assert rows["bright"]["p_holm"] < 0.05
    assert rows["middling"]["p_holm"] > 0.05
    assert rows[ALL]["mean"] == pytest.approx((rows["bright"]["mean"] + rows["middling"]["mean"]) / 2)
    assert (rows[ALL]["n_patients"], rows[ALL]["n_seeds"]) == (12, 3)
    assert rows["bright"]["p_holm"] >= rows["bright"]["p_value"]
    assert rows["bright"]["arm_mean"] - rows["bright"]["baseline_mean"] == pytest.approx(
        rows["bright"]["mean"]
    )
    assert "bright" in capsys.readouterr().err
    assert "| mixed | bright |" in markdown(result)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_values_are_paired_by_name_and_averaged_over_a_patient(tmp_path: Path):
    number = {case: i / 100 for i, case in enumerate(CASES)}
    one = evaluated(tmp_path / "one", lambda case, label: number[case])
    two = evaluated(tmp_path / "two", lambda case, label: number[case], CASES[::-1])
    table = paired({"one": [one], "two": [two]})
    assert np.allclose(table.arms["one"]["bright"], [[(4 * i + 1) / 200 for i in range(12)]])
    assert np.allclose(table.arms["one"]["bright"], table.arms["two"]["bright"])


def test_a_case_with_nothing_to_score_in_one_run_is_left_out_in_all(tmp_path: Path):
    one = evaluated(tmp_path / "one", lambda case, label: 0.5)
    two = evaluated(tmp_path / "two", lambda case, label: None if case.startswith("p03") else 0.6)
    result = compare({"one": [one], "two": [two]})
    assert result["left_out"] == {"bright": 2, "middling": 2}
    assert result["comparisons"][0]["n_patients"] == 11
    assert "bright: 2 of 24 cases are left out" in result["notes"][0]


def test_a_label_that_only_one_run_invents_counts_against_it(tmp_path: Path):
    def nothing_there(place: Path) -> Path:
        table = place / "evaluation/cases.csv"
        lines = table.read_text(encoding="utf-8").splitlines()
        at = lines[0].split(",").index("truth_voxels")
        rows = [line.split(",") for line in lines]
        for row in rows[1:]:
            if row[0].startswith("p03"):
                row[at] = "0"
        table.write_text("\n".join(",".join(row) for row in rows) + "\n", encoding="utf-8")
        return place

    right = nothing_there(
        evaluated(tmp_path / "a", lambda case, label: None if case < "p04" and case > "p03" else 0.5)
    )
    wrong = nothing_there(
        evaluated(tmp_path / "b", lambda case, label: 0.0 if case < "p04" and case > "p03" else 0.5)
    )
    table = paired({"right": [right], "wrong": [wrong]})
    assert table.left_out == {"bright": 0, "middling": 0}
    assert table.arms["right"]["bright"][0, 3] == 1
    assert table.arms["wrong"]["bright"][0, 3] == 0
    same = paired({"right": [right], "too": [right]})
    assert same.left_out == {"bright": 2, "middling": 2}


def test_other_cases_or_other_masks_are_refused(tmp_path: Path):
    whole = evaluated(tmp_path / "whole", lambda case, label: 0.5)
    part = evaluated(tmp_path / "part", lambda case, label: 0.5, CASES[:-1])
    with pytest.raises(DataError, match=r"1 cases or their labels differ.*p11_b"):
        compare({"whole": [whole], "part": [part]})
    other = evaluated(tmp_path / "other", lambda case, label: 0.5)
    table = (other / "evaluation/cases.csv").read_text(encoding="utf-8")
    (other / "evaluation/cases.csv").write_text(
        table.replace(",5\n", ",6\n", 1).replace(",5\r\n", ",6\r\n", 1)
    )
    with pytest.raises(DataError, match="the true mask is not the one"):
        compare({"whole": [whole], "other": [other]})


def test_arms_of_unequal_size_measures_that_are_not_there_and_lonely_runs_are_refused(tmp_path: Path):
    two, three = arm(tmp_path, "two", seeds=2), arm(tmp_path, "three")
    with pytest.raises(ConfigError, match="two 2, three 3"):
        compare({"two": two, "three": three})
    with pytest.raises(ConfigError, match="found 1 arm"):
        compare({"two": two})
    with pytest.raises(ConfigError, match="no column 'beauty'"):
        compare({"a": two[:1], "b": two[1:]}, measure="beauty")
    with pytest.raises(ConfigError, match="Run `medunet evaluate"):
        compare({"a": two[:1], "b": [tmp_path]})


def test_unequal_compute_is_told(tmp_path: Path):
    arms = {"short": arm(tmp_path, "short"), "long": arm(tmp_path, "long", steps=200)}
    assert "not trained for the same number of steps: short 100; long 200" in compare(arms)["notes"][0]


def test_arms_are_named_by_runs_or_by_hand():
    runs = [Path("runs/a/fold_0"), Path("runs/b")]
    assert list(arms_of(runs, [])) == ["a/fold_0", "b"]
    assert arms_of([], ["x=r1,r2", "y=r3,r4"]) == {
        "x": [Path("r1"), Path("r2")],
        "y": [Path("r3"), Path("r4")],
    }
    for wrong in (["x"], ["=r"], ["x="], ["x=a", "x=b"]):
        with pytest.raises(ConfigError, match="expected NAME=RUN,RUN"):
            arms_of([], wrong)
    with pytest.raises(ConfigError, match="not both"):
        arms_of(runs, ["x=r"])


def test_the_command_writes_json_and_markdown(tmp_path: Path):
    named = [f"{name}={','.join(map(str, arm(tmp_path, name)))}" for name in ("a", "b")]
    words = ["compare", "--arm", named[0], "--arm", named[1], "--json", str(tmp_path / "c.json")]
    done = CliRunner().invoke(app, [*words, "--markdown", str(tmp_path / "c.md")])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))["baseline"] == "a"
    assert (tmp_path / "c.md").read_text(encoding="utf-8").count("| b |") == 3
