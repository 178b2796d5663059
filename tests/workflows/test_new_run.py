from __future__ import annotations

from pathlib import Path

import pytest

from medunet.errors import ConfigError
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
