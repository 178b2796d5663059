"""The process of one worker: `python -m medunet.studies.work`, settings as JSON on standard input."""

from __future__ import annotations

import os
import signal
import sys

from medunet.errors import MedunetError
from medunet.studies.ledger import Ledger
from medunet.studies.owner import owner_of
from medunet.studies.settings import WorkSettings
from medunet.studies.worker import Worker


def make_worker(settings: WorkSettings) -> Worker:
    """Return a worker of this process; ConfigError where its device is not on this machine."""
    if settings.device is not None:
        from medunet.engine.distributed import pick_device

        pick_device(settings.device)
    return Worker(settings, Ledger(settings.ledger, settings.max_attempts), owner_of(os.getpid()))


def work(settings: WorkSettings) -> None:
    """Work until all is done; the same in a process, a Ray actor or a SLURM job."""
    make_worker(settings).run()


def main() -> None:
    """Run a worker: 0 done or asked to end, 2 this machine cannot go on, anything else it died."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us in order
    try:
        work(WorkSettings.model_validate_json(sys.stdin.read()))
    except MedunetError as error:
        sys.stderr.write(f"medunet: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
