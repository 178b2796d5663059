"""MLflow: the only place that imports it.

All of its work runs in one background thread: importing MLflow and creating its SQLite store take seconds, and
a server may be away for hours. Training waits for neither; the run folder holds everything anyway.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sqlite3
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from medunet import __version__
from medunet.engine.outbox import Outbox, Outcome

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

Status = Literal["FINISHED", "FAILED", "KILLED"]

# Read by MLflow when it is imported. No telemetry, no waiting, no bars, no search for a git checkout.
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the outbox tries again
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"}
BATCH_METRICS, BATCH_PARAMS = 1000, 100  # MLflow's limits per request
LONGEST_VALUE = 5000  # characters of a parameter or tag; MLflow keeps 6000
LONGEST_REASON = 200  # characters
MODEL_FILES = ("*.yaml", "*.json", "fold_*/weights.safetensors", "fold_*/fold.json")
MODEL_CODE = '''"""MLflow runs this to load the model; medunet does the work and must be installed."""

from medunet.engine.tracking import serve

serve("{loader}")
'''


@dataclass(frozen=True)
class Curve:
    """Numbers of one step, with the time in ms since 1970 at which they were reported."""

    step: int
    time_ms: int
    values: dict[str, float]


@dataclass(frozen=True)
class Place:
    """Where a run is logged. `artifacts` is None where the server decides."""

    uri: str
    artifacts: str | None
    experiment: str
    run_name: str
    run_key: str
    state_file: Path

    @classmethod
    def of(cls, uri: str | None, workspace: Path, **names: Any) -> Place:
        """Return the given server, or the SQLite store below the workspace."""
        home = workspace.resolve() / "mlflow"
        place = uri or f"sqlite:///{home / 'mlflow.db'}"
        remote = place.startswith(("http://", "https://", "databricks", "uc:"))
        return cls(place, None if remote else (home / "artifacts").as_uri(), **names)


class Tracker:
    """One MLflow run. Every method returns at once and never raises; `close` waits.

    `run_key` says what is trained: a training with the same key and `state_file` continues the same run.
    Construct it after the heavy imports (torch, monai): imports in two threads at once can clash.
    """

    def __init__(  # noqa: PLR0913  a run has these names
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
        self.place = Place.of(
            uri, workspace, experiment=experiment, run_name=run_name, run_key=run_key, state_file=state_file
        )
        self._say, self._run, self._told = say, None, set[str]()
        self._run: Run | None
        self._outbox = Outbox(self._send, _are_curves, name="tracking")
        self._outbox.start()

    @property
    def run_id(self) -> str | None:
        """The MLflow run, once it is known."""
        return self._run.id if self._run else None

    def params(self, values: Mapping[str, Any]) -> None:
        """Log what the run was started with; a value that changes on resume becomes a tag `resumed.KEY`."""
        self._outbox.put(partial(_log_params, values={_name(k): _short(v) for k, v in values.items()}))

    def tags(self, values: Mapping[str, Any]) -> None:
        """Log facts about the run that may change."""
        self._outbox.put(partial(_log_tags, values={_name(k): _short(v) for k, v in values.items()}))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Log a point of every named curve."""
        numbers = {_name(key): float(value) for key, value in values.items()}
        self._outbox.put(Curve(step, int(1000 * time.time()), numbers), bulk=True)

    def text(self, name: str, text: str) -> None:
        """Log a text as the artifact `name`."""
        self._outbox.put(lambda run: run.client.log_text(run.id, text, name))

    def file(self, path: Path, artifact_path: str | None = None) -> None:
        """Log a file into the artifact folder `artifact_path`; it is read when its turn comes."""
        self._outbox.put(lambda run: run.client.log_artifact(run.id, str(path), artifact_path))

    def picture(self, name: str, rgb: NDArray[np.uint8]) -> None:
        """Log an (H, W, 3) picture as the artifact `name` (.png)."""
        copy = np.array(rgb, np.uint8)
        self._outbox.put(lambda run: run.client.log_image(run.id, copy, name), bulk=True)

    def model(self, run_folder: Path, loader: str) -> None:
        """Log the trained run folder as a pyfunc model named `model`.

        `loader` is `module:function`; `function(run_folder)` returns `answer(table, params)`, where the table
        has the column `path` and the params the key `out`. No pickle: MLflow keeps code that calls it.
        """
        self._outbox.put(partial(_log_model, folder=run_folder, loader=loader))

    def close(self, status: Status = "FINISHED", timeout_s: float = 60.0) -> None:
        """Send what is left, at most `timeout_s` long, and say so if something was not sent."""
        self._outbox.put(partial(_end, status=status))
        if left := self._outbox.close(timeout_s):
            self._say(
                f"MLflow: {left} entries did not reach {public(self.place.uri)}. Nothing is lost: "
                f"{self.place.state_file.parent} holds the metrics and the weights."
            )

    def _send(self, entries: list[Any]) -> Outcome:
        problems = _problems()
        try:
            if self._run is None:
                self._run = _open(self.place)
        except problems as error:
            return self._is_away(error)
        try:
            _dispatch(self._run, entries)
        except problems as error:
            return self._refused(error) if _is_refusal(error) else self._is_away(error)
        if "away" in self._told:
            self._told.discard("away")
            self._say(f"MLflow: {public(self.place.uri)} is back; what was kept is being sent.")
            self._run.watch(self.place.uri)
        return "sent"

    def _is_away(self, error: BaseException) -> Outcome:
        if "away" not in self._told:
            self._told.add("away")
            self._say(
                f"MLflow: {public(self.place.uri)} is away ({_reason(error)}). The training goes on, "
                f"{self.place.state_file.parent} keeps everything, and I try again."
            )
        return "away"

    def _refused(self, error: BaseException) -> Outcome:
        if (reason := _reason(error)) not in self._told:
            self._told.add(reason)
            self._say(f"MLflow: an entry was refused and left out: {reason}")
        return "refused"


@dataclass
class Run:
    """An open MLflow run."""

    client: MlflowClient
    experiment: str
    id: str
    monitor: Any = None

    def watch(self, uri: str) -> None:
        """(Re)start the log of CPU, GPU, memory and disk; MLflow's own stops for good when the server is away."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        if self.monitor is not None:
            self.monitor.finish()
        self.monitor = SystemMetricsMonitor(self.id, resume_logging=True, tracking_uri=uri)
        self.monitor.start()


def serve(loader: str) -> None:
    """Make `module:function` the model that MLflow is loading; called by `MODEL_CODE`."""
    import mlflow

    module, _, function = loader.partition(":")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about type hints, which a table has none of

        class Served(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
            """A run folder that answers."""

            def load_context(self, context: Any) -> None:
                """Load the networks."""
                self.answer = getattr(import_module(module), function)(Path(context.artifacts["run"]))

            def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002
                """Answer for every row of the table."""
                return self.answer(model_input, params or {})

    mlflow.models.set_model(Served())


def _problems() -> tuple[type[BaseException], ...]:
    """Import MLflow, quietly, and return all that may go wrong with a store or a server."""
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    own = (
        ImportError,
        OSError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        sqlite3.Error,
    )
    try:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        return own
    return (*own, MlflowException, SQLAlchemyError)


def _open(place: Place) -> Run:
    """Return the run that the state file names, or a new one; the machine is watched from now on."""
    if place.uri.startswith("sqlite:///"):
        _create_sqlite(Path(place.uri.removeprefix("sqlite:///")))
    from mlflow.tracking import MlflowClient

    client = MlflowClient(place.uri)
    run = _resumed(client, place) or _created(client, place)
    run.watch(place.uri)
    return run


def _create_sqlite(path: Path) -> None:
    """Create the file with a write-ahead log: readers and several trainings do not block one another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=20)) as store:
        store.execute("PRAGMA journal_mode=WAL")


def _resumed(client: MlflowClient, place: Place) -> Run | None:
    try:
        state = json.loads(place.state_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if (state.get("uri"), state.get("run_key")) != (public(place.uri), place.run_key):
        return None
    from mlflow.exceptions import MlflowException

    try:
        info = client.get_run(state["run_id"]).info
    except MlflowException as error:
        if _is_refusal(error):  # the store no longer knows it
            return None
        raise
    if info.lifecycle_stage != "active":
        return None
    client.update_run(info.run_id, status="RUNNING")
    return Run(client, info.experiment_id, info.run_id)


def _created(client: MlflowClient, place: Place) -> Run:
    experiment = _experiment(client, place)
    tags = {"medunet.run_key": place.run_key, "mlflow.source.name": "medunet", "mlflow.source.type": "LOCAL"}
    info = client.create_run(experiment, run_name=place.run_name, tags=tags).info
    state = {"uri": public(place.uri), "run_key": place.run_key, "run_id": info.run_id}
    place.state_file.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.state_file.with_name(place.state_file.name + ".tmp")
    temporary.write_text(json.dumps(state, indent=1), encoding="utf-8")
    temporary.replace(place.state_file)
    return Run(client, experiment, info.run_id)


def _experiment(client: MlflowClient, place: Place) -> str:
    """Return the id of the experiment; another training may create it at the same moment."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(place.experiment)
    if found is None:
        try:
            return str(client.create_experiment(place.experiment, artifact_location=place.artifacts))
        except MlflowException:
            found = client.get_experiment_by_name(place.experiment)
            if found is None:
                raise
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
    changed = {f"resumed.{k}": v for k, v in values.items() if known.get(k, v) != v}
    _log_tags(run, values=changed)


def _log_tags(run: Run, *, values: dict[str, str]) -> None:
    from mlflow.entities import RunTag

    tags = [RunTag(key, value) for key, value in values.items()]
    for start in range(0, len(tags), BATCH_PARAMS):
        run.client.log_batch(run.id, tags=tags[start : start + BATCH_PARAMS])


def _log_model(run: Run, *, folder: Path, loader: str) -> None:
    """Log the run folder's needed files with the code that calls `loader` ("models from code")."""
    from mlflow import pyfunc
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema

    signature = ModelSignature(
        inputs=Schema([ColSpec("string", "path")]), params=ParamSchema([ParamSpec("out", "string", "")])
    )
    model = run.client.create_logged_model(run.experiment, name="model", source_run_id=run.id)
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow would like an example that it can run
        code, files, out = Path(temporary, "model.py"), Path(temporary, "run"), Path(temporary, "out")
        code.write_text(MODEL_CODE.format(loader=loader), encoding="utf-8")
        _copy_needed(folder, files)
        pyfunc.save_model(
            path=out,
            python_model=str(code),
            artifacts={"run": str(files)},
            signature=signature,
            pip_requirements=[f"medunet=={__version__}"],
            mlflow_model=Model(run_id=run.id, model_id=model.model_id),
        )
        run.client.log_model_artifacts(model.model_id, str(out))
    run.client.finalize_logged_model(model.model_id, "READY")
    run.client.log_outputs(run.id, [LoggedModelOutput(model.model_id, step=0)])


def _copy_needed(folder: Path, out: Path) -> None:
    for path in sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)}):
        target = out / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _end(run: Run, *, status: Status) -> None:
    run.monitor.finish()
    run.client.set_terminated(run.id, status)


def _are_curves(first: Any, other: Any) -> bool:
    return isinstance(first, Curve) and isinstance(other, Curve)


def _is_refusal(error: BaseException) -> bool:
    """Say whether the same entry would be refused again, as against a store that is away."""
    return getattr(error, "error_code", "") in REFUSALS or isinstance(error, (FileNotFoundError, TypeError))


def _reason(error: BaseException) -> str:
    text = public(" ".join(str(error).split()) or type(error).__name__)
    return (
        text
        if len(text) <= LONGEST_REASON
        else f"{text[: LONGEST_REASON // 2]} ... {text[-LONGEST_REASON // 2 :]}"
    )


def public(text: str) -> str:
    """Return a text without the user:password of the addresses in it.

    >>> public("postgresql://anna:secret@db/x")
    'postgresql://db/x'
    """
    return re.sub(r"://[^/@\s]+@", "://", text)


def _name(key: str) -> str:
    """Return a key that MLflow accepts."""
    return re.sub(r"[^\w\-. /]", "_", key)[:250]


def _short(value: Any) -> str:
    return str(value)[:LONGEST_VALUE]
