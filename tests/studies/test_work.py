from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medunet.studies.ledger import Ledger
from medunet.studies.settings import WorkSettings
from medunet.studies.work import make_worker, work

ROOT = Path(__file__).parents[2]


def test_a_worker_with_nothing_to_do_ends(ledger: Ledger, settings: WorkSettings):
    assert make_worker(settings).owner.count(":") == 2
    work(settings)
    assert ledger.counts() == {}


@pytest.mark.slow
def test_a_worker_that_cannot_go_on_says_why(settings: WorkSettings):
    wrong = settings.model_copy(update={"ledger": "mysql://anna:secret@db/x"})
    command = [sys.executable, "-m", "medunet.studies.work"]
    done = subprocess.run(
        command, cwd=ROOT, input=wrong.model_dump_json(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("medunet: --ledger mysql://db/x: expected a file")
