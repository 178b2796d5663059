"""`medunet studies run` with the workers of stub_work: LEDGER LOGS WORKERS."""

from __future__ import annotations

import sys
from unittest import mock

from medunet.studies.engines import local
from medunet.studies.ledger import Ledger
from medunet.studies.settings import WorkSettings
from medunet.workflows.studies import run

COMMAND = (sys.executable, "-m", "tests.studies.stub_work")

if __name__ == "__main__":
    place, logs, workers = sys.argv[1:4]
    settings = WorkSettings(ledger=place, logs=logs, lease_s=3, poll_s=0.1, max_attempts=100)
    with mock.patch.object(local, "COMMAND", COMMAND):
        run(Ledger(place, settings.max_attempts), settings, "local", int(workers), {})
