from __future__ import annotations

from pathlib import Path

import pytest

from medunet.config.run import Folds, RunFolder
from medunet.errors import ConfigError


def test_a_folder_that_is_no_run_is_refused_with_what_is_missing(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"not a run: config.yaml, card.yaml, plan.yaml not found"):
        RunFolder.open(tmp_path)


def test_a_fold_folder_opens_its_run_with_only_that_fold(tmp_path: Path):
    for name in ("config.yaml", "card.yaml", "plan.yaml"):
        (tmp_path / name).touch()
    for fold in (0, 3):
        (tmp_path / f"fold_{fold}").mkdir()
        (tmp_path / f"fold_{fold}/weights.safetensors").touch()
    assert RunFolder.open(tmp_path).trained == (0, 3)
    only = RunFolder.open(tmp_path / "fold_3")
    assert (only.path, only.trained) == (tmp_path, (3,))


def test_the_folds_of_many_cases_are_read(tmp_path: Path):
    cases = {f"case_{i:05d}": f"{i:064x}:{i:064x}" for i in range(8000)}
    folds = Folds(seed=0, validation=(tuple(cases),), patients=dict.fromkeys(cases, "p"), content=cases)
    (tmp_path / "folds.json").write_text(folds.model_dump_json(), encoding="utf-8")
    assert RunFolder(tmp_path).folds == folds
    (tmp_path / "folds.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"folds\.json: cannot be read"):
        _ = RunFolder(tmp_path).folds
    with pytest.raises(ConfigError, match=r"run\.json: cannot be read"):
        _ = RunFolder(tmp_path).origin
