"""Where workers run. An engine starts them, starts new ones for those that died, and ends them; it knows
nothing of studies. The ledger stays the truth, whatever an engine believes.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

from medunet.errors import ConfigError
from medunet.studies.ledger import Ledger
from medunet.studies.settings import WorkSettings

EXTRAS = {"local": None, "ray": "ray", "slurm": "submitit"}  # name -> the package it needs


class Crew(Protocol):
    """Workers that were started."""

    def tend(self) -> bool:
        """Replace dead workers while there is work; say whether any worker is left."""
        ...

    def end(self) -> None:
        """Ask all workers to end, and wait until they have."""
        ...


def start(
    name: str, settings: WorkSettings, workers: int, ledger: Ledger, options: Mapping[str, Any]
) -> Crew:
    """Start workers on an engine; ConfigError if it is not known or its package is missing."""
    if name not in EXTRAS:
        raise ConfigError(f"--engine {name}: expected one of {', '.join(EXTRAS)}.")
    try:
        module = import_module(f"{__name__}.{name}")
        crew: Crew = module.start(settings, workers, ledger, dict(options))
    except ModuleNotFoundError as error:
        if error.name != EXTRAS[name]:
            raise
        raise ConfigError(
            f"--engine {name}: needs the package {error.name}. Install it: pip install 'medunet[{name}]'."
        ) from None
    return crew
