"""A dose-response trains what is missing, compares on the same patients, and advises only what is shown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from medunet.config.recipe import Recipe
from medunet.config.run import RunFolder
from medunet.errors import ConfigError
from medunet.gate.record import admission_key
from medunet.workflows import dose_response as work
from medunet.workflows.dose_grid import Dot, Grid, SetOrder, sets_in
from medunet.workflows.dose_plot import plot
from medunet.workflows.dose_report import markdown
from medunet.workflows.dose_response import DoseResponse, dose_response
from medunet.workflows.dose_verdict import helps, verdict
from tests.gate.sets import admit_all, synthetic_set
from tests.phantoms import card, msd_folder, recipe
from tests.workflows.test_compare import arm as arm_of
from tests.workflows.test_train import Deaf

GRID = Grid(patients=(2,), ratios=(1.0,), arms=("gated", "procedural", "strong"), seeds=(0,))


@pytest.fixture(autouse=True)
def no_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medunet.workflows.train.Tracker", lambda *a, **k: Deaf())


def small(**training: object) -> Recipe:
    return recipe(
        network={"options": {"features": [4, 8, 8]}},
        planning={"batch_size": 2, "patch_voxels": (16, 16)},
        training={"validate_cases": 0, "budget": "2 steps", "patience": 1} | training,
    )


def maker(orders: list[SetOrder]) -> Callable[[SetOrder], Path]:
    """Make admitted phantom sets; the procedural arm has none."""

    def make(order: SetOrder) -> Path:
        orders.append(order)
        if order.arm == "procedural":
            raise ConfigError("nothing grew")
        folder = synthetic_set(order.workspace / "sets" / order.name, 2)
        admit_all(folder, admission_key(order.workspace))
        return folder

    return make


def test_a_study_trains_scores_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = msd_folder(tmp_path / "data", 6, dims=2)
    orders: list[SetOrder] = []
    common: dict[str, Any] = {"card": card(2), "data": data, "workspace": tmp_path, "grid": GRID}
    result = dose_response(small(), make_set=maker(orders), **common)
    rows = {(row["arm"], row["seed"]): row for row in result["rows"]}
    assert result["ending"] == "finished"
    assert next(iter(rows)) == ("strong", 0)
    assert [row["failed"] for row in result["failed"]] == ["nothing grew"]
    assert sorted(order.arm for order in orders) == ["gated", "procedural"]
    runs = {key: RunFolder.open(Path(row["run"]).parent) for key, row in rows.items() if row["run"]}
    assert len({run.folds.training(0) for run in runs.values()}) == 1
    assert len({run.folds.validation for run in runs.values()}) == 1
    assert {row["steps"] for row in rows.values() if row["run"]} == {2}
    assert {run.recipe.training.patience for run in runs.values()} == {None}
    assert rows["gated", 0]["learnt_from"]["synthetic"]["used"] == 2
    assert [one["use"] for one in result["recommendation"]] == [False]
    out = tmp_path / "dose_response/quick"
    assert "do not use synthetic data" in (out / "dose_response.md").read_text(encoding="utf-8")
    assert json.loads((out / "dose_response.json").read_text(encoding="utf-8"))["rows"] == result["rows"]

    trained: list[str] = []

    def notes(*_: object, name: str, **__: object) -> None:
        trained.append(name)
        raise RuntimeError("not now")

    monkeypatch.setattr(work, "train", notes)
    monkeypatch.setattr(work, "evaluate", notes)
    again = dose_response(
        small(), make_set=maker([]), **common | {"grid": Grid(**vars(GRID) | {"seeds": (0, 2)})}
    )
    assert {name.rsplit("-s")[-1] for name in trained} == {"2"}

    trained.clear()
    other = maker([])
    other.key = "another generator"  # type: ignore[attr-defined]
    dose_response(small(), make_set=other, **common)
    assert trained
    assert all("-gated-" in name for name in trained)
    shutil.copytree(data, tmp_path / "moved")
    moved = dose_response(small(), make_set=maker([]), **common | {"data": tmp_path / "moved"})
    assert "was trained on" in moved["failed"][0]["failed"]
    assert [row for row in again["rows"] if row["seed"] == 0] == [
        row for row in result["rows"] if row["seed"] == 0
    ]


def test_a_signal_ends_the_study_and_not_only_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []

    def stopped(*_: object, name: str, **__: object) -> dict[str, str]:
        calls.append(name)
        return {"ending": "stopped"}

    monkeypatch.setattr(work, "train", stopped)
    how: dict[str, Any] = {"card": card(2), "data": tmp_path, "workspace": tmp_path, "grid": GRID}
    result = dose_response(small(), make_set=maker([]), **how)
    assert (result["ending"], len(calls)) == ("stopped", 1)


@pytest.mark.parametrize(
    ("training", "arms", "message"),
    [
        ({"budget": "5m"}, GRID.arms, "5m is a time; a dose-response needs steps"),
        ({}, ("gated",), "strong is what the others are compared to"),
        ({}, ("strong", "magic"), "no magic"),
    ],
)
def test_what_could_not_be_compared_is_refused(tmp_path: Path, training: dict, arms: tuple, message: str):
    how: dict[str, Any] = {"card": card(2), "data": tmp_path, "workspace": tmp_path, "make_set": maker([])}
    with pytest.raises(ConfigError, match=message):
        dose_response(small(**training), grid=Grid(arms=arms), **how)


def test_a_ratio_that_no_training_takes_is_refused_at_once(tmp_path: Path):
    how: dict[str, Any] = {"card": card(2), "data": tmp_path, "workspace": tmp_path, "make_set": maker([])}
    with pytest.raises(ConfigError, match=r"ratios: .*\n.*ratio"):
        dose_response(small(), grid=Grid(ratios=(1.0, 6.0)), **how)


def test_every_dot_has_a_name_of_its_own():
    dots = list(Grid().dots())
    assert len(dots) == 3 * 3 * (2 + 3 * 3)
    assert len({dot.name for dot in dots}) == len(dots)
    assert Dot(10, "gated", 1.5, 2).name == "n10-gated-r1.5-s2"
    study = DoseResponse(small(), card(2), Path(), Path(), GRID, maker([]), Path())
    other = DoseResponse(small(learning_rate=1e-4), card(2), Path(), Path(), GRID, maker([]), Path())
    assert study._key != other._key


def test_arms_differ_in_nothing_but_what_they_are_named_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    orders: list[SetOrder] = []
    monkeypatch.setattr(DoseResponse, "_control", lambda study, dot: tmp_path / "control")
    study = DoseResponse(small(), card(2), tmp_path, tmp_path, GRID, maker(orders), tmp_path)
    found = {
        arm: study._recipe(Dot(2, arm, ratio, 7)) for arm, ratio in (("none", 0), ("strong", 0), ("gated", 1))
    }
    assert {one.training for one in found.values()} == {found["strong"].training}
    assert (found["strong"].training.seed, found["strong"].training.split_seed) == (7, 0)
    assert found["none"].augmentation.flip == 0
    assert found["strong"].augmentation == found["gated"].augmentation == small().augmentation
    assert found["gated"].synthetic is not None
    assert found["gated"].model_copy(update={"synthetic": None}) == found["strong"]
    study._recipe(Dot(2, "gated", 1, 8))
    assert [order.name for order in orders] == ["quick-n2-fold0-gated"]


def test_sets_that_are_there_are_found_by_name(tmp_path: Path):
    order = SetOrder(small(), card(2), tmp_path, tmp_path, 0, 10, "gated", 2.0, tmp_path)
    with pytest.raises(ConfigError, match="quick-n10-fold0-gated: no synthetic set"):
        sets_in(tmp_path)(order)
    synthetic_set(tmp_path / "quick-n10-fold0-gated", 1)
    assert sets_in(tmp_path)(order).name == "quick-n10-fold0-gated"


def rows_of(root: Path, gains: dict[tuple[int, str, float], float], seeds: int = 3) -> list[dict[str, Any]]:
    """Rows of evaluated folders; `gains` of label `bright` over the control."""
    rows = []
    for (patients, arm, ratio), gain in gains.items():
        name = f"{patients}-{arm}-{ratio}-"
        for seed, run in enumerate(arm_of(root, name, gain, seeds)):
            row = {"patients": patients, "arm": arm, "ratio": ratio, "seed": seed, "run": str(run)}
            used = {"cases": 10, "synthetic": {"used": min(15, round(10 * ratio))} if ratio else None}
            rows.append(row | {"failed": None, "mean_dice": 0.7 + gain / 2, "learnt_from": used})
    return rows


def test_a_gain_that_is_shown_is_recommended_at_its_best_ratio(tmp_path: Path):
    gains = {
        (10, "strong", 0.0): 0.0,
        (10, "gated", 1.0): 0.04,
        (10, "gated", 2.0): 0.08,
        (10, "gated", 3.0): 0.08,  # as many cases as at 2: no more were admitted
        (10, "none", 0.0): -0.1,
    }
    found = verdict(rows_of(tmp_path, gains))
    (advice,) = found["recommendation"]
    assert (advice["use"], advice["ratio"]) == (True, 2.0)
    assert "over strong augmentation at the same compute" in advice["reason"]
    by_ratio = {(one["arm"], one["ratio"]): one for one in found["comparisons"]}
    assert by_ratio["gated", 2.0]["mean"] == pytest.approx(0.04, abs=0.005)
    assert by_ratio["gated", 2.0]["labels"]["bright"] == pytest.approx(0.08, abs=0.005)
    assert by_ratio["none", 0.0]["mean"] < 0
    assert ("gated", 3.0) not in by_ratio
    assert by_ratio["gated", 1.0]["p_holm"] >= by_ratio["gated", 1.0]["p_value"]


@pytest.mark.parametrize(
    ("gains", "seeds", "reason"),
    [
        ({(10, "gated", 1.0): 0.0}, 3, "the interval reaches 0 or below"),
        ({(10, "gated", 1.0): -0.05}, 3, "a loss of more than 0.5 points is not excluded"),
        ({(10, "gated", 1.0): 0.08}, 1, "with one seed: another could differ"),
        ({(10, "generated", 1.0): 0.08}, 3, "no training of the arm gated could be compared"),
    ],
)
def test_without_a_shown_gain_the_advice_is_not_to_use_it(
    tmp_path: Path, gains: dict, seeds: int, reason: str
):
    rows = rows_of(tmp_path, {(10, "strong", 0.0): 0.0} | gains, seeds)
    (advice,) = verdict(rows)["recommendation"]
    assert not advice["use"]
    assert advice["ratio"] is None
    assert reason in advice["reason"]


def test_what_holm_takes_away_is_not_recommended():
    found = {"p_value": 0.02, "p_holm": 0.02, "n_seeds": 3, "ci95": (0.01, 0.05)}
    assert helps(found)
    assert not helps(found | {"p_holm": 0.06})
    assert not helps(found | {"ci95": (-0.01, 0.05)})
    assert not helps(found | {"n_seeds": 1})


def test_a_generator_that_is_no_better_than_procedures_is_told(tmp_path: Path):
    gains = {(10, "strong", 0.0): 0.0, (10, "gated", 1.0): 0.08, (10, "procedural", 1.0): 0.08}
    (advice,) = verdict(rows_of(tmp_path, gains))["recommendation"]
    assert advice["use"]
    assert "not shown to be better than with procedural masks" in advice["reason"]


def test_numbers_of_patients_are_advised_apart_and_other_cases_are_told(tmp_path: Path):
    gains = {(n, "strong", 0.0): 0.0 for n in (10, 20)} | {(10, "gated", 1.0): 0.08, (20, "gated", 1.0): 0.0}
    rows = rows_of(tmp_path, gains)
    assert [(one["patients"], one["use"]) for one in verdict(rows)["recommendation"]] == [
        (10, True),
        (20, False),
    ]
    table = Path(rows[-1]["run"]) / "evaluation/cases.csv"
    table.write_text("\n".join(table.read_text(encoding="utf-8").splitlines()[:-1]) + "\n", encoding="utf-8")
    found = verdict(rows)["comparisons"][-1]
    assert "expected the same held-out cases" in found["problem"]
    assert found["mean"] is None


def test_report_and_plot_show_every_dose(tmp_path: Path):
    gains = {(10, "strong", 0.0): 0.0, (10, "gated", 1.0): 0.04, (10, "gated", 2.0): 0.08}
    rows = rows_of(tmp_path, gains)
    failed = [
        {"patients": 10, "arm": "generated", "ratio": 1.0, "seed": 0, "run": None, "failed": "no <room>"}
    ]
    whole = {
        "recipe": "r",
        "budget": "9 steps",
        "grid": {"seeds": (0, 1, 2), "fold": 0},
        "ending": "finished",
    }
    text = markdown(whole | {"rows": rows + failed, "failed": failed} | verdict(rows))
    assert text.count("| gated |") == 2
    assert "| gated | 1 |" in text
    assert "| gated | 1.5 (of 2) |" in text
    assert "**With 10 real patients: use synthetic data at ratio 2.**" in text
    assert "failed: n 10, generated, ratio 1, seed 0: no <room>" in text
    drawn = ElementTree.fromstring(plot(rows + failed))
    assert len(drawn.findall(".//{*}circle")) == 2
    heights = [float(dot.attrib["cy"]) for dot in drawn.findall(".//{*}circle")]
    assert heights[1] < heights[0]  # a better Dice lies higher
