from __future__ import annotations

import subprocess
import sys

import pytest

from medunet.workflows import progress as module
from medunet.workflows.progress import progress, say

SHOW = "from medunet.workflows.progress import *; say('hello'); bar = progress('Work', 2); bar.__enter__()"


def shown(**environment: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", SHOW], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout, done.stderr


def test_words_for_the_user_leave_standard_output_to_machines():
    assert shown() == ("", "hello\nWork ...\n")


def test_only_the_first_of_many_processes_speaks():
    assert shown(RANK="1") == ("", "")


def test_plain_lines_tell_share_time_and_note(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "PLAIN_SECONDS", -1.0)
    with progress("Work", 4) as bar:
        bar.note("case 7")
        bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Work ..."
    assert lines[1].startswith("Work:  25 %")
    assert lines[1].endswith("time left not known yet  case 7")


def test_the_time_left_counts_from_where_a_resumed_work_began(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with progress("Work", 100) as bar:
        bar.advance(80)  # done in an earlier session
        now[0] = 20.0
        bar.advance(10)
    assert capsys.readouterr().err.splitlines()[-1] == "Work:  90 %  20 s spent, 20 s left"


def test_markup_in_a_file_name_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]):
    say("scan[red].nii")
    assert capsys.readouterr().err == "scan[red].nii\n"
