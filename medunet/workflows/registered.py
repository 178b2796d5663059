"""A model by its name: a run folder as it is, or one of MLflow's registered models, fetched once."""

from __future__ import annotations

import os
from pathlib import Path

from medunet.errors import ConfigError

SCHEME = "models:/"


def local_run(model: str, workspace: Path) -> Path:
    """Return the run folder of a model: as named, as named from the workspace, or fetched into it."""
    if not model.startswith(SCHEME):
        return Path(model) if Path(model).exists() else workspace / model
    from medunet.engine.tracking import fetch_model

    try:
        return fetch_model(
            model,
            os.environ.get("MLFLOW_TRACKING_URI"),
            workspace=workspace,
            into=workspace / "studies" / "models",
        )
    except OSError as error:
        raise ConfigError(
            f"--model {model}: cannot be fetched ({error}). Is it registered, and is "
            "MLFLOW_TRACKING_URI the right server?"
        ) from None
