"""MLflow: the only place that imports it.

All of its work runs in one background thread: importing MLflow and creating its SQLite store take seconds,
and a server may be away for hours. Training waits for neither; the run folder holds everything anyway.
"""

from __future__ import annotations

import re
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from medunet import __version__
from medunet.engine.outbox import Curve, Outbox, Outcome
from medunet.engine.place import Announcer, Place, key_of, reason, settle, short
from medunet.engine.staging import stage_model

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

Status = Literal["FINISHED", "FAILED", "KILLED"]

PROBLEMS = (ImportError, OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError)
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"}
BATCH_METRICS, BATCH_PARAMS = 1000, 100  # MLflow's limits per request


class Tracker:
    """One MLflow run. Every method returns at once and never raises; `close` waits.

    `run_key` says what is trained: a training with the same key and `state_file` continues the same run.
    Construct it after the heavy imports (torch, monai): imports in two threads at once can clash.
    """

    def __init__(
        self,
        uri: str | None,
        *,
        workspace: Path,
        experiment: str,
        run_name: str,
        run_key: str,
        state_file: Path,
        say: Callable[[str], None],
    ) -> None:
        """Start the thread; `uri` None means SQLite in `workspace/mlflow`."""
        names = {"experiment": experiment, "run_name": run_name, "run_key": run_key, "state_file": state_file}
        self.place = Place.of(uri, workspace, **names)
        self._announcer = Announcer(self.place, say)
        self._run: Run | None = None
        self._outbox = Outbox(self._send, name="tracking")
        self._outbox.start()
        self.tags({})  # opens the run now, not at the first number

    @property
    def run_id(self) -> str | None:
        """The MLflow run, once it is known."""
        return self._run.id if self._run else None

    def params(self, values: Mapping[str, Any]) -> None:
        """Log what the run was started with; a value that changes on resume becomes a tag `resumed.KEY`."""
        self._outbox.put(partial(_log_params, values={key_of(k): short(v) for k, v in values.items()}))

    def tags(self, values: Mapping[str, Any]) -> None:
        """Log facts about the run that may change."""
        self._outbox.put(partial(_log_tags, values={key_of(k): short(v) for k, v in values.items()}))

    def tag_other(self, run_id: str, name: str) -> None:
        """Tag another run of the same store with `NAME.id`, where id is this run, which follows from it."""
        self._outbox.put(lambda run: run.client.set_tag(run_id, f"{name}.{run.id}", self.place.run_name))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Log a point of every named curve."""
        numbers = {key_of(key): float(value) for key, value in values.items()}
        self._outbox.put(Curve(step, int(1000 * time.time()), numbers))

    def file(self, path: Path, artifact_path: str | None = None) -> None:
        """Log a file into the artifact folder `artifact_path`; it is read when its turn comes."""
        self._outbox.put(lambda run: run.client.log_artifact(run.id, str(path), artifact_path))

    def picture(self, name: str, rgb: NDArray[np.uint8]) -> None:
        """Log an (H, W, 3) picture as the artifact `name` (.png)."""
        copy = np.array(rgb, np.uint8)
        self._outbox.put(lambda run: run.client.log_image(run.id, copy, name))

    def model(self, fold_folder: Path, loader: str) -> None:
        """Log a trained fold as a pyfunc model named `model`.

        `loader` is `module:function`; `function(run_folder)` returns `answer(table, params)`, where the table
        has the column `path` and the params the key `out`. No pickle: MLflow keeps code that calls it.
        """
        self._outbox.put(partial(_log_model, folder=fold_folder, loader=loader))

    def close(self, status: Status = "FINISHED", timeout_s: float = 60.0) -> None:
        """Send what is left, at most `timeout_s` long, and say so if something was not sent."""
        self._outbox.put(partial(_end, status=status))
        if left := self._outbox.close(timeout_s):
            self._announcer.unsent(left)

    def _send(self, entries: list[Any]) -> Outcome:
        try:
            self._run = self._run or _open(self.place)
            _dispatch(self._run, entries)
            if self._announcer.back():
                self._run.watch(self.place.uri)
        except _problems() as error:
            if self._run and _is_refusal(error):
                self._announcer.refused(error)
                return "refused"
            self._announcer.away(error)
            return "away"
        return "sent"


@dataclass
class Run:
    """An open MLflow run."""

    client: MlflowClient
    experiment: str
    id: str
    monitor: Any = None

    def watch(self, uri: str) -> None:
        """Start, or start again after an outage, MLflow's log of CPU, GPU, memory and disk."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        if self.monitor is not None:
            self.monitor.finish()
        monitor: Any = SystemMetricsMonitor
        self.monitor = monitor(self.id, resume_logging=True, tracking_uri=uri)
        self.monitor.start()


def fetch_model(name: str, uri: str | None, *, workspace: Path, into: Path) -> Path:
    """Return the run folder of models:/NAME@ALIAS or models:/NAME/VERSION, fetched once; OSError if none."""
    problems = _problems()
    from mlflow.artifacts import download_artifacts
    from mlflow.tracking import MlflowClient

    place = Place.of(uri, workspace, experiment="", run_name="", run_key="", state_file=Path())
    try:
        client = MlflowClient(place.uri, place.uri)
        model, alias, version = re.findall(r"^models:/([^@/]+)(?:@(.+)|/(\d+))$", name)[0]
        version = client.get_model_version_by_alias(model, alias).version if alias else version
        target = into / f"{key_of(model)}-{version}"
        if not target.is_dir():
            into.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=into) as temporary:
                where = client.get_model_version_download_uri(model, version)
                found = download_artifacts(where, dst_path=temporary, tracking_uri=place.uri)
                Path(found, "artifacts", "run").replace(target)
    except problems as error:
        raise OSError(reason(error)) from None
    return target


def _problems() -> tuple[type[BaseException], ...]:
    """Import MLflow, quietly, and return all that may go wrong with a store or a server."""
    settle()
    try:
        from sqlalchemy.exc import SADeprecationWarning, SQLAlchemyError

        warnings.filterwarnings("ignore", category=SADeprecationWarning)  # of MLflow's own tables
        warnings.filterwarnings("ignore", category=UserWarning, module=r"mlflow\.")  # advice on how to log
        from mlflow.exceptions import MlflowException
    except ImportError:
        return PROBLEMS
    return (*PROBLEMS, MlflowException, SQLAlchemyError)


def _open(place: Place) -> Run:
    """Return the run that an earlier start opened, or a new one; the machine is watched from now on."""
    _problems()  # MLflow reads its settings when it is first imported
    from mlflow.tracking import MlflowClient

    place.prepare()
    client = MlflowClient(place.uri)
    run = _resumed(client, place) or _created(client, place)
    run.watch(place.uri)
    return run


def _resumed(client: MlflowClient, place: Place) -> Run | None:
    from mlflow.exceptions import MlflowException

    if (run_id := place.recall()) is None:
        return None
    try:
        info = client.get_run(run_id).info
    except MlflowException as error:
        if _is_refusal(error):  # the store no longer knows it
            return None
        raise
    if info.lifecycle_stage != "active":
        return None
    client.update_run(run_id, status="RUNNING")
    return Run(client, info.experiment_id, run_id)


def _created(client: MlflowClient, place: Place) -> Run:
    experiment = _experiment(client, place)
    tags = {"medunet.run_key": place.run_key, "mlflow.source.name": "medunet", "mlflow.source.type": "LOCAL"}
    info = client.create_run(experiment, run_name=place.run_name, tags=tags).info
    place.remember(info.run_id)
    return Run(client, experiment, info.run_id)


def _experiment(client: MlflowClient, place: Place) -> str:
    """Return the id of the experiment; another training may create it at the same moment."""
    from mlflow.exceptions import MlflowException

    if client.get_experiment_by_name(place.experiment) is None:
        with suppress(MlflowException):
            client.create_experiment(place.experiment, artifact_location=place.artifacts)
    if (found := client.get_experiment_by_name(place.experiment)) is None:
        raise OSError(f"the experiment {place.experiment} cannot be created")
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _dispatch(run: Run, entries: list[Any]) -> None:
    """Do the one thing that was asked for, or send a row of curve points."""
    from mlflow.entities import Metric

    if not isinstance(entries[0], Curve):
        entries[0](run)
        return
    points = [Metric(key, value, c.time_ms, c.step) for c in entries for key, value in c.values.items()]
    for start in range(0, len(points), BATCH_METRICS):
        run.client.log_batch(run.id, metrics=points[start : start + BATCH_METRICS])


def _log_params(run: Run, *, values: dict[str, str]) -> None:
    """Log parameters; MLflow never changes one, so that another value on resume becomes a tag."""
    from mlflow.entities import Param

    known = run.client.get_run(run.id).data.params
    fresh = [Param(key, value) for key, value in values.items() if key not in known]
    for start in range(0, len(fresh), BATCH_PARAMS):
        run.client.log_batch(run.id, params=fresh[start : start + BATCH_PARAMS])
    _log_tags(run, values={f"resumed.{k}": v for k, v in values.items() if known.get(k, v) != v})


def _log_tags(run: Run, *, values: dict[str, str]) -> None:
    from mlflow.entities import RunTag

    tags = [RunTag(key, value) for key, value in values.items()]
    for start in range(0, len(tags), BATCH_PARAMS):
        run.client.log_batch(run.id, tags=tags[start : start + BATCH_PARAMS])


def _log_model(run: Run, *, folder: Path, loader: str) -> None:
    """Log the fold's needed files with the code that calls `loader` ("models from code")."""
    from mlflow import pyfunc
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema

    inputs, params = Schema([ColSpec("string", "path")]), ParamSchema([ParamSpec("out", "string", "")])
    model = run.client.create_logged_model(run.experiment, name="model", source_run_id=run.id)
    with tempfile.TemporaryDirectory() as temporary:
        code, files = stage_model(folder, loader, Path(temporary))
        out = Path(temporary, "model")
        pyfunc.save_model(
            path=out,
            python_model=str(code),
            artifacts={"run": str(files)},
            signature=ModelSignature(inputs=inputs, params=params),
            pip_requirements=[f"medunet=={__version__}"],
            mlflow_model=Model(run_id=run.id, model_id=model.model_id),
        )
        run.client.log_model_artifacts(model.model_id, str(out))
    run.client.finalize_logged_model(model.model_id, "READY")
    run.client.log_outputs(run.id, [LoggedModelOutput(model.model_id, step=0)])


def _end(run: Run, *, status: Status) -> None:
    run.monitor.finish()
    run.client.set_terminated(run.id, status)


def _is_refusal(error: BaseException) -> bool:
    """Say whether the same entry would be refused again, as against a store that is away."""
    return getattr(error, "error_code", "") in REFUSALS or isinstance(error, (FileNotFoundError, TypeError))
