"""Workers as actors of a Ray cluster: RAY_ADDRESS names it, else one is started here.

Actors reserve no CPU, so that plain tasks of others are never starved; options are Ray's own (num_gpus=0.5).
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

import ray

from medunet.errors import ConfigError
from medunet.studies.ledger import Ledger
from medunet.studies.settings import WorkSettings
from medunet.studies.work import make_worker

PATIENCE_S = 20.0


class Actor:
    """One worker in an actor; Ray starts it again where it died, and calls `work` again."""

    def __init__(self, settings: str, threads: int) -> None:
        """Make the worker; Ray leaves one thread to actors that reserve no CPU."""
        os.environ["OMP_NUM_THREADS"] = str(threads)
        self.worker = make_worker(WorkSettings.model_validate_json(settings))

    def work(self) -> None:
        """Work until all is done."""
        self.worker.run()

    def halt(self) -> None:
        """End soon; called beside `work`."""
        self.worker.halt()

    def pid(self) -> int:
        """Return the number of the process."""
        return os.getpid()


@dataclass
class RayCrew:
    """Actors by their work in progress."""

    actors: dict[Any, Any]

    def tend(self) -> bool:
        """Say whether any worker is left; Ray itself replaces dead ones."""
        done, _ = ray.wait(list(self.actors), num_returns=len(self.actors), timeout=0)
        try:
            ray.get(done)
        except ray.exceptions.RayError as error:
            raise ConfigError(f"a worker of Ray ended: {str(error).strip().splitlines()[-1]}") from None
        for work in done:
            ray.kill(self.actors.pop(work))  # its GPU is for those that wait for one
        return bool(self.actors)

    def end(self) -> None:
        """Ask all workers to end, wait, and kill them."""
        for actor in self.actors.values():
            actor.halt.remote()
        if self.actors:  # those that wait for a GPU never answer
            ray.wait(list(self.actors), num_returns=len(self.actors), timeout=PATIENCE_S)
        for actor in self.actors.values():
            ray.kill(actor)
        self.actors = {}


def start(settings: WorkSettings, workers: int, ledger: Ledger, options: dict[str, Any]) -> RayCrew:
    """Start actors; leases of dead ones end by themselves."""
    if not ray.is_initialized():
        ray.init(log_to_driver=False, logging_level=logging.ERROR)
    if len(ray.nodes()) > 1 and not ledger.is_server:
        raise ConfigError(
            "--engine ray: the cluster has several machines, which SQLite does not serve. "
            "Give --ledger postgresql://USER:PASSWORD@HOST/DATABASE."
        )
    gpus = 1 if ray.cluster_resources().get("GPU") else 0
    resources = {"num_cpus": 0, "num_gpus": gpus} | options
    lasting = {"max_restarts": -1, "max_task_retries": -1, "max_concurrency": 2}
    kind: Any = ray.remote(**resources, **lasting)(Actor)
    cores = int(options.get("num_cpus") or ray.cluster_resources().get("CPU", 1) / workers)
    actors = [kind.remote(settings.model_dump_json(), max(1, cores)) for _ in range(workers)]
    return RayCrew({actor.work.remote(): actor for actor in actors})
