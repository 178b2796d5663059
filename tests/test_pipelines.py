"""Pipelines as commands: what is wrong with a request ends them as it ends `medunet`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "pipelines" / "augment_and_compare.py"


def run_script(monkeypatch: pytest.MonkeyPatch, *words: str) -> object:
    """Return the exit code of the script."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return ended.value.code


def test_a_wrong_request_ends_with_2_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("hippocampus_mr", "synth_hippocampus", "--data", str(tmp_path), "--set", "training.budget=5m")
    assert run_script(monkeypatch, *words) == 2
    assert "augment_and_compare: training.budget: 5m is a time" in capsys.readouterr().err


def test_help_says_where_the_workspace_is_and_what_a_recommendation_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_script(monkeypatch, "--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "a recommendation needs two or more" in said
    assert "synthetic cases per real one, 0.5 to 5; default: 1 2 3" in said


def test_the_workspace_is_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDUNET_WORKSPACE", str(tmp_path / "here"))
    given: list[Path] = []
    monkeypatch.setattr(
        "medunet.workflows.dose_response.dose_response",
        lambda *_, workspace, **__: given.append(workspace) or {"recommendation": [], "failed": []},
    )
    assert run_script(monkeypatch, "hippocampus_mr", "synth_hippocampus", "--data", str(tmp_path)) == 0
    assert given == [tmp_path / "here"]
    assert capsys.readouterr().err == ""
