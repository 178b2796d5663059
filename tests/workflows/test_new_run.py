from __future__ import annotations

from pathlib import Path

import pytest

from medunet.errors import ConfigError, DataError
from medunet.workflows.new_run import create, reopen, run_path
from medunet.workflows.prepare import survey
from tests.phantoms import card, msd_folder, recipe


def test_a_run_is_named_by_what_decides_its_result(tmp_path: Path):
    found = survey(card(), msd_folder(tmp_path / "data", 2), tmp_path / "cache")
    place = run_path(tmp_path, None, recipe(), found)
    assert place.name.startswith("quick-")
    assert run_path(tmp_path, None, recipe(), found) == place
    assert run_path(tmp_path, None, recipe(training={"seed": 1}), found) != place
    found.content["case_00"] = "changed"
    assert run_path(tmp_path, None, recipe(), found) != place
    assert run_path(tmp_path, "mine", recipe(), found).name == "mine"


def test_a_run_is_made_once_and_holds_folds_over_patients(tmp_path: Path):
    found = survey(card(), msd_folder(tmp_path / "data", 6), tmp_path / "cache")
    create(tmp_path / "run", recipe(), found, "cpu")
    run = reopen(tmp_path / "run", recipe(), found)
    assert sorted(case for fold in run.folds.validation for case in fold) == sorted(found.cases)
    assert run.ranges is not None
    assert run.ranges.cases == 6
    assert run.ranges.labels[1].always
    written = (tmp_path / "run/folds.json").stat().st_mtime_ns
    create(tmp_path / "run", recipe(), found, "cpu")
    assert (tmp_path / "run/folds.json").stat().st_mtime_ns == written


def test_a_run_of_something_else_is_not_reused(tmp_path: Path):
    found = survey(card(), msd_folder(tmp_path / "data", 2), tmp_path / "cache")
    create(tmp_path / "run", recipe(), found, "cpu")
    with pytest.raises(ConfigError, match="another recipe, card or data"):
        reopen(tmp_path / "run", recipe(training={"seed": 1}), found)


def test_fewer_patients_are_nested_and_folds_stay(tmp_path: Path):
    found = survey(card(), msd_folder(tmp_path / "data", 9), tmp_path / "cache")
    parts = {}
    for wanted in (None, 3, 2):
        create(tmp_path / f"run{wanted}", chosen := recipe(training={"patients": wanted}), found, "cpu")
        parts[wanted] = reopen(tmp_path / f"run{wanted}", chosen, found).folds
    for fold in (0, 1):
        assert len({parts[wanted].validation[fold] for wanted in parts}) == 1
        two, three, whole = (set(parts[wanted].training(fold)) for wanted in (2, 3, None))
        assert (len(two), len(three)) == (2, 3)
        assert two < three < whole
        assert whole | set(parts[2].validation[fold]) == set(found.cases)
        assert set(parts[2].left_out[fold]) == whole - two


def test_more_patients_than_there_are_cannot_be_asked_for(tmp_path: Path):
    found = survey(card(), msd_folder(tmp_path / "data", 4), tmp_path / "cache")
    with pytest.raises(DataError, match="training.patients: 3 are wanted, the fold has 2"):
        create(tmp_path / "run", recipe(training={"patients": 3}), found, "cpu")


def test_trainings_of_other_seeds_share_folds_if_asked(tmp_path: Path):
    found = survey(card(), msd_folder(tmp_path / "data", 9), tmp_path / "cache")
    folds = []
    for training in ({"seed": 1}, {"seed": 7}, {"seed": 1, "split_seed": 5}, {"seed": 7, "split_seed": 5}):
        chosen = recipe(training=training)
        place = run_path(tmp_path, None, chosen, found)
        create(place, chosen, found, "cpu")
        folds.append(reopen(place, chosen, found).folds.validation)
    assert folds[0] != folds[1]
    assert folds[2] == folds[3]


def test_keys_that_came_later_do_not_rename_older_runs():
    text = recipe().model_dump_json()
    assert not [key for key in ("patients", "synthetic", "split_seed") if key in text]
    assert "patients" in recipe(training={"patients": 2}).model_dump_json()
