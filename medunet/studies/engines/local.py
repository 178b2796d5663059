"""Workers as processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from medunet.errors import ConfigError
from medunet.studies.ledger import Ledger
from medunet.studies.owner import is_dead, owner_of
from medunet.studies.settings import WorkSettings
from medunet.studies.worker import WORN

COMMAND = (sys.executable, "-m", "medunet.studies.work")
CANNOT_GO_ON = 2  # exit status: a new worker would end in the same way
IDLE_DEATHS = 3  # in a row, of workers that held no study: they cannot start
PATIENCE_S = 20.0


@dataclass
class LocalCrew:
    """Processes; `command` reads the settings as JSON from its standard input."""

    settings: WorkSettings
    ledger: Ledger
    command: Sequence[str]
    environment: Mapping[str, str]
    started: int = 0
    idle_deaths: int = 0
    closed: int = 0  # studies, when a worker last died
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)  # by owner

    def add(self) -> None:
        """Start one more worker."""
        process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=self.environment,
            text=True,
        )
        self.processes[owner_of(process.pid)] = process
        own = {"parent": os.getpid(), "number": self.started}
        self.started += 1
        text = self.settings.model_copy(update=own).model_dump_json()
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin as stream:
                stream.write(text)

    def tend(self) -> bool:
        """Replace dead workers while there is work; say whether any worker is left."""
        for owner, process in list(self.processes.items()):
            if (status := process.poll()) is None:
                continue
            del self.processes[owner]
            held = self.ledger.abandon(owner)
            if status in (0, CANNOT_GO_ON):
                continue
            closed = sum(self.ledger.counts().values()) - self.ledger.unfinished()
            idle = not held and status != WORN and closed == self.closed
            self.idle_deaths, self.closed = (self.idle_deaths + 1 if idle else 0), closed
            if self.idle_deaths >= IDLE_DEATHS:
                raise ConfigError(f"{IDLE_DEATHS} workers died before they held a study (status {status}).")
            if self.settings.forever or self.ledger.unfinished():
                self.add()
        return bool(self.processes)

    def end(self) -> None:
        """Ask all workers to end, wait, and kill who does not."""
        for process in self.processes.values():
            process.terminate()
        for owner, process in self.processes.items():
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self.ledger.abandon(owner)
        self.processes.clear()


def start(
    settings: WorkSettings,
    workers: int,
    ledger: Ledger,
    options: dict[str, Any],
    command: Sequence[str] | None = None,
) -> LocalCrew:
    """Start worker processes; leases of processes of this machine that are dead end at once."""
    if options:
        raise ConfigError(f"--engine-set {', '.join(options)}: the local engine has no settings.")
    if settings.device is not None:
        from medunet.engine.distributed import pick_device

        pick_device(settings.device)
    for owner in ledger.owners():
        if is_dead(owner):
            ledger.abandon(owner)
    cores = psutil.cpu_count(logical=False) or 1
    threads = {"OMP_NUM_THREADS": str(max(1, cores // workers))} if workers > 1 else {}
    crew = LocalCrew(settings, ledger, command or COMMAND, threads | os.environ)
    for _ in range(workers):
        crew.add()
    return crew
