"""Workers as jobs of SLURM, through submitit; options are its own (timeout_min=600, gpus_per_node=1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit

from medunet.errors import ConfigError
from medunet.studies.ledger import Ledger
from medunet.studies.settings import WorkSettings
from medunet.studies.work import work

IDLE_DEATHS = 3
DEFAULTS = {"name": "medunet-studies", "timeout_min": 24 * 60, "nodes": 1, "tasks_per_node": 1}


@dataclass
class SlurmCrew:
    """Submitted jobs."""

    executor: Any
    settings: WorkSettings
    ledger: Ledger
    jobs: list[Any]
    deaths: int = 0
    closed: int = 0  # studies, when a job last died

    def tend(self) -> bool:
        """Submit again what died while there is work; say whether any job is left."""
        for job in [job for job in self.jobs if job.done()]:
            self.jobs.remove(job)
            if job.exception() is None or not self.ledger.unfinished():
                continue
            closed = sum(self.ledger.counts().values()) - self.ledger.unfinished()
            self.deaths = self.deaths + 1 if closed == self.closed else 1
            self.closed = closed
            if self.deaths > IDLE_DEATHS:
                folder = job.paths.folder
                raise ConfigError(
                    f"{self.deaths} jobs died and no study was done. Their logs are in {folder}."
                )
            self.jobs.append(self.executor.submit(work, self.settings))
        return bool(self.jobs)

    def end(self) -> None:
        """Cancel all jobs; they give their studies back."""
        for job in self.jobs:
            job.cancel()
        self.jobs = []


def start(settings: WorkSettings, workers: int, ledger: Ledger, options: dict[str, Any]) -> SlurmCrew:
    """Submit one job a worker. `cluster=local` runs them here, for a test without SLURM."""
    cluster = options.pop("cluster", "slurm")
    if cluster == "slurm" and not ledger.is_server:
        raise ConfigError(
            "--engine slurm: jobs run on several machines, which SQLite does not serve. "
            "Give --ledger postgresql://USER:PASSWORD@HOST/DATABASE."
        )
    folder = Path(settings.logs).parent / "jobs"
    executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
    executor.update_parameters(**DEFAULTS | options)
    return SlurmCrew(executor, settings, ledger, [executor.submit(work, settings) for _ in range(workers)])
