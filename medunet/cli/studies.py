"""Commands on the queue of studies: add, run, watch, status, retry, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medunet.cli.options import Device, Irregular, Json, Workspace, finish
from medunet.errors import ConfigError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Segment many studies: queue them, work through them, see which results to doubt.",
)

LedgerOption = Annotated[
    str | None,
    typer.Option("--ledger", help="File or postgresql:// URL; default: WORKSPACE/studies/ledger.db."),
]
ModelOption = Annotated[str, typer.Option("--model", help="A run folder, or models:/NAME@ALIAS of MLflow.")]
Out = Annotated[Path, typer.Option("--out", help="Where one folder a study is written.")]
FORMATS = "nifti, seg, rtstruct, sr (with seg) or preview; may be repeated. Default: nifti."
Formats = Annotated[list[str] | None, typer.Option("--format", help=FORMATS)]
Folds = Annotated[list[int] | None, typer.Option("--fold", help="Only this fold; may be repeated.")]
Mirror = Annotated[bool | None, typer.Option("--mirror/--no-mirror", help="Average over mirrored copies.")]
Budget = Annotated[
    str | None, typer.Option(help="Time for each study: 60s, 2m. Windows overlap less to keep it.")
]
Priority = Annotated[int, typer.Option("--priority", help="Higher is worked on sooner.")]
Engine = Annotated[str, typer.Option("--engine", help="local, ray or slurm.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="How many studies are predicted at once.")]
EngineSet = Annotated[
    list[str] | None, typer.Option("--engine-set", metavar="KEY=VALUE", help="A setting of Ray or submitit.")
]
WorkSet = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A limit of the workers, such as read_gb=16."),
]


@app.command()
def add(  # noqa: PLR0913  one parameter an option
    places: Annotated[
        list[str],
        typer.Argument(help="Scans, DICOM folders, folders of them, or a PACS address."),
    ],
    model: ModelOption,
    out: Out,
    formats: Formats = None,
    fold: Folds = None,
    mirror: Mirror = None,
    irregular: Irregular = "error",
    budget: Budget = None,
    priority: Priority = 0,
    settings: WorkSet = None,
    ledger: LedgerOption = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Queue studies for a model; the same study, model and options are queued once."""
    from medunet.workflows import archive
    from medunet.workflows import studies as work

    order = _order(model, out, formats, _options(fold, mirror, irregular, budget), priority, workspace)
    limits = _settings(settings, ledger, workspace).read_limits
    paths, not_fetched = archive.gather(places, workspace)
    result = work.add(_ledger(ledger, workspace), paths, order, limits) | {"not_fetched": not_fetched}
    finish(result, json_file, failed=bool(result["refused"] or not_fetched), show=True)


@app.command()
def run(  # noqa: PLR0913  one parameter an option
    workers: Workers = 1,
    engine: Engine = "local",
    engine_set: EngineSet = None,
    settings: WorkSet = None,
    device: Device = None,
    ledger: LedgerOption = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Work until nothing is queued. After a crash, the same command goes on."""
    from medunet.workflows import studies as work

    how = _settings(settings, ledger, workspace, device)
    result = work.run(_ledger(ledger, workspace, how), how, engine, workers, _pairs(engine_set))
    bad = result["failed"] or result["refused"] or result["unfinished"]
    finish(result, json_file, failed=bool(bad), show=True)


@app.command()
def watch(  # noqa: PLR0913  one parameter an option
    place: Annotated[str, typer.Argument(help="A folder that scans are put into, or a PACS address.")],
    model: ModelOption,
    out: Out,
    stable: Annotated[
        float | None, typer.Option("--stable", min=0, help="Seconds without a change before it is whole.")
    ] = None,
    formats: Formats = None,
    fold: Folds = None,
    mirror: Mirror = None,
    irregular: Irregular = "error",
    budget: Budget = None,
    priority: Priority = 0,
    workers: Workers = 1,
    engine: Engine = "local",
    engine_set: EngineSet = None,
    settings: WorkSet = None,
    device: Device = None,
    ledger: LedgerOption = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Queue and work on whatever comes into a folder or a PACS, until Ctrl-C or SIGTERM."""
    from medunet.workflows import studies as work

    order = _order(model, out, formats, _options(fold, mirror, irregular, budget), priority, workspace)
    how = _settings(settings, ledger, workspace, device)
    result = work.watch(
        _ledger(ledger, workspace, how),
        _changes(place, stable, out, workspace),
        order,
        how,
        engine=engine,
        workers=workers,
        options=_pairs(engine_set),
    )
    finish(result, json_file, failed=not result["stopped"], show=True)


@app.command()
def push(
    out: Annotated[Path, typer.Argument(help="The folder of results that `studies run` wrote.")],
    address: Annotated[str, typer.Argument(help="A PACS address, as in docs/pacs.md.")],
    json_file: Json = None,
) -> None:
    """Send DICOM results to a PACS; what it has accepted is not sent again."""
    from medunet.workflows import archive

    result = archive.push(out, address)
    finish(result, json_file, failed=bool(result["failed"]), show=True)


@app.command()
def status(ledger: LedgerOption = None, workspace: Workspace = Path(), json_file: Json = None) -> None:
    """Show how many studies are queued, running, done, failed and refused."""
    from medunet.workflows import studies as work

    finish(work.status(_ledger(ledger, workspace, there=True)), json_file, show=True)


@app.command()
def retry(
    studies: Annotated[list[str] | None, typer.Argument(help="Only these; default: all that failed.")] = None,
    refused: Annotated[bool, typer.Option("--refused", help="Also those that were refused.")] = False,
    ledger: LedgerOption = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Queue failed studies again."""
    states = ("failed", "refused") if refused else ("failed",)
    count = _ledger(ledger, workspace, there=True).retry(states, studies)
    finish({"queued": count}, json_file, show=True)


@app.command()
def report(
    by: Annotated[
        str, typer.Option("--sort", help="risk, or id: the order in which they were added.")
    ] = "risk",
    paths: Annotated[bool, typer.Option("--paths", help="Tell where the images of each study lie.")] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a table.")] = None,
    ledger: LedgerOption = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """List all studies with their risk, flags, volumes and reasons; the riskiest first."""
    from medunet.io.write import write_atomic
    from medunet.studies.report import as_csv, as_table
    from medunet.workflows import studies as work

    if by not in ("risk", "id"):
        raise ConfigError(f"--sort {by}: expected risk or id.")
    rows = work.report(_ledger(ledger, workspace, there=True), by=by, paths=paths)
    if csv_file is not None:
        with write_atomic(csv_file) as temporary:
            temporary.write_text(as_csv(rows), encoding="utf-8")
    typer.echo(as_table(rows))
    finish({"studies": rows}, json_file)


def _ledger(place: str | None, workspace: Path, how: Any = None, *, there: bool = False) -> Any:
    """Open the ledger for workers of these settings; ConfigError if it must be `there` and is not."""
    from medunet.studies.ledger import Ledger

    file = _place(place, workspace)
    if there and "://" not in file and not Path(file).is_file():
        raise ConfigError(f"{file}: there is no ledger. Queue studies first: medunet studies add.")
    return Ledger(file, how.max_attempts) if how else Ledger(file)


def _place(place: str | None, workspace: Path) -> str:
    return place or str((workspace / "studies" / "ledger.db").resolve())


def _order(
    model: str,
    out: Path,
    formats: list[str] | None,
    options: Any,
    priority: int,
    workspace: Path,
) -> Any:
    from medunet.studies.model import Model
    from medunet.workflows.registered import local_run
    from medunet.workflows.studies import Order

    opened = Model.open(local_run(model, workspace), options)
    return Order(opened, out, tuple(formats or ["nifti"]), priority)


def _options(fold: list[int] | None, mirror: bool | None, irregular: str, budget: str | None) -> Any:
    from medunet.config.base import parse
    from medunet.config.budget import parse_seconds
    from medunet.studies.task import Options

    seconds = None if budget is None else parse_seconds(budget)
    said = {"folds": fold or None, "mirror": mirror, "irregular": irregular, "budget_s": seconds}
    return parse(Options, said, where="options")


def _settings(
    settings: list[str] | None, ledger: str | None, workspace: Path, device: str | None = None
) -> Any:
    from medunet.config.base import parse
    from medunet.config.load import with_settings
    from medunet.studies.settings import WorkSettings

    logs = (workspace / "studies" / "logs").resolve()
    values = {"ledger": _place(ledger, workspace), "logs": str(logs), "device": device}
    return parse(WorkSettings, with_settings(values, settings or []), where="--set")


def _pairs(settings: list[str] | None) -> dict[str, Any]:
    from medunet.config.load import with_settings

    found: dict[str, Any] = with_settings({}, settings or [])
    return found


def _changes(place: str, stable_s: float | None, out: Path, workspace: Path) -> Any:
    from medunet.io.pacs import is_address
    from medunet.studies.watch import STABLE_S, FolderChanges
    from medunet.workflows import archive

    if is_address(place):
        return archive.watched(place, workspace, stable_s)
    if not Path(place).is_dir():
        raise ConfigError(f"{place}: no such folder, and no PACS address.")
    return FolderChanges(Path(place), STABLE_S if stable_s is None else stable_s, [out])
