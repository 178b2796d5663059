from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from medunet.errors import StudyError
from medunet.studies.publish import finished, publish


def fill(folder: Path) -> dict[str, object]:
    (folder / "mask").write_text("1")
    return {"risk": 0.5}


def test_a_result_appears_whole_and_is_found_again(tmp_path: Path):
    assert finished(tmp_path, "a", "id") is None
    made = publish(tmp_path, "a", "id", fill)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert finished(tmp_path, "a", "id") == made == json.loads((tmp_path / "a/result.json").read_text())
    assert finished(tmp_path, "a", "other") is None
    assert set(made["files"]) == {"mask"}


def test_results_have_the_usual_rights_and_the_mask_of_the_process_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the mask of all threads was changed"))
    publish(tmp_path, "a", "id", fill)
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "folder").stat().st_mode
    assert (tmp_path / "a/mask").stat().st_mode == (tmp_path / "file").stat().st_mode


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path):
    def fail(folder: Path) -> dict[str, object]:
        fill(folder)
        raise StudyError("no")

    with pytest.raises(StudyError):
        publish(tmp_path, "a", "id", fail)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_worker_left_goes(tmp_path: Path):
    (tmp_path / ".part-a-xyz").mkdir()
    (tmp_path / ".part-a-xyz/mask").write_text("half")
    (tmp_path / ".part-b-xyz").mkdir()
    publish(tmp_path, "a", "id", fill)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".part-b-xyz", "a"]


def test_the_same_result_of_another_worker_is_kept(tmp_path: Path):
    publish(tmp_path, "a", "id", fill)
    before = (tmp_path / "a").stat().st_ino
    publish(tmp_path, "a", "id", fill)
    assert (tmp_path / "a").stat().st_ino == before


def test_a_result_that_was_corrected_is_never_replaced(tmp_path: Path):
    publish(tmp_path, "a", "id", fill)
    (tmp_path / "a/mask").write_text("corrected")
    assert finished(tmp_path, "a", "id") is None
    with pytest.raises(StudyError, match="may have been corrected"):
        publish(tmp_path, "a", "id", fill)
    assert (tmp_path / "a/mask").read_text() == "corrected"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
