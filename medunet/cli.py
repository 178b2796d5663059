"""The `medunet` command: parse, call one workflow, print. Torch is imported only inside a command."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from medunet import __version__
from medunet.errors import ConfigError, MedunetError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Segment medical images: from a folder of scans to a tracked, tested U-Net.",
)

DISK_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}
DISK_ERRORS |= {errno.ENOTDIR, errno.EISDIR}

Recipe = Annotated[str, typer.Argument(help="A recipe: the path of a YAML file, or a shipped name.")]
Run = Annotated[
    Path, typer.Argument(help="The run folder that `medunet train` named, or one of its fold_K folders.")
]
Data = Annotated[Path, typer.Option("--data", help="The folder of the data set.")]
MaybeData = Annotated[Path | None, typer.Option("--data", help="The folder of the data set.")]
CardOption = Annotated[
    str | None, typer.Option("--card", help="Another card than the recipe's: path or name.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; may be repeated."),
]
Json = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON.")]
Workspace = Annotated[
    Path,
    typer.Option("--workspace", envvar="MEDUNET_WORKSPACE", help="Where runs/, cache/ and mlflow/ live."),
]
Backend = Annotated[str, typer.Option("--backend", help="torch, openvino, or auto: the fastest one here.")]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1 or mps; default: the best here.")
]
MemoryGb = Annotated[float | None, typer.Option("--memory-gb", help="Plan for so much memory.")]


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Segment medical images: from a folder of scans to a tracked, tested U-Net."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def doctor(
    target: Annotated[str, typer.Argument(help="A card (with --data), a data folder, or one file.")],
    data: MaybeData = None,
    fix: Annotated[Path | None, typer.Option("--fix", help="Write repaired copies into this folder.")] = None,
    memory_gb: Annotated[
        float, typer.Option("--memory-gb", help="Read only so much at the same time.")
    ] = 2.0,
    json_file: Json = None,
) -> None:
    """Examine a data set or file: what is broken, odd or missing, and what to do about it."""
    from medunet.workflows import doctor as work

    card = _card_for_doctor(target, data)
    report = work.examine(
        data if card is not None and data is not None else Path(target),
        card=card,
        fix=fix,
        memory_gb=memory_gb,
    )
    _finish(report.as_json(), json_file, failed=bool(report.exit_code))


@app.command()
def check(
    recipe: Recipe,
    data: MaybeData = None,
    card: CardOption = None,
    settings: Settings = None,
    json_file: Json = None,
) -> None:
    """Check a recipe, its card and, with --data, its files in a second, before any training."""
    from medunet.workflows import check as work

    chosen, chosen_card = _load(recipe, card, settings)
    _finish(work.check(chosen, chosen_card, data), json_file, show=True)


@app.command()
def prepare(  # noqa: PLR0913  one parameter an option
    recipe: Recipe,
    data: Data,
    card: CardOption = None,
    settings: Settings = None,
    device: Device = None,
    memory_gb: MemoryGb = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Measure a data set, plan the training for this machine, and fill the cache."""
    from medunet.workflows import prepare as work

    chosen, chosen_card = _load(recipe, card, _with_memory(settings, memory_gb))
    result = work.prepare(chosen, chosen_card, data, workspace, _device_kind(device))
    _finish(result, json_file, failed=bool(result["failed"]))


@app.command()
def train(  # noqa: PLR0913  one parameter an option
    recipe: Recipe,
    data: Data,
    fold: Annotated[int, typer.Option(help="Which fold is held out.")] = 0,
    budget: Annotated[str | None, typer.Option(help="Time or steps: 10m, 2h, 1d, '500 steps'.")] = None,
    card: CardOption = None,
    settings: Settings = None,
    device: Device = None,
    memory_gb: MemoryGb = None,
    name: Annotated[str | None, typer.Option(help="Name of the run; default: recipe and a hash.")] = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Train one fold. The same command again goes on where it stopped."""
    wishes = _with_memory(settings, memory_gb) + ([f"training.budget={budget}"] if budget else [])
    chosen, chosen_card = _load(recipe, card, wishes)
    from medunet.workflows import train as work

    result = work.train(
        chosen,
        card=chosen_card,
        data=data,
        fold=fold,
        workspace=workspace,
        device=device,
        name=name,
        tracking_uri=os.environ.get("MLFLOW_TRACKING_URI"),
    )
    _finish(result, json_file, failed=bool(result["failed"]), show=True)


@app.command()
def evaluate(  # noqa: PLR0913  one parameter an option
    run: Run,
    data: Annotated[
        Path | None, typer.Option(help="Other labelled data than the run's held-out cases.")
    ] = None,
    fold: Annotated[int | None, typer.Option(help="Only this fold; default: all that are trained.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where tables, report and masks go.")] = None,
    save_masks: Annotated[bool, typer.Option("--save-masks", help="Keep the predicted masks.")] = False,
    card: Annotated[str | None, typer.Option(help="Card of --data, if it is laid out otherwise.")] = None,
    backend: Backend = "torch",
    device: Device = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Score a run on cases it was not trained on: tables, intervals and a report with pictures."""
    from medunet.config.load import load_card
    from medunet.workflows import evaluate as work

    other = load_card(card) if card else None
    result = work.evaluate(
        _open(run, workspace),
        data=data,
        fold=fold,
        out=out,
        device=device,
        card=other,
        save_masks=save_masks,
        backend=backend,
    )
    _finish(result, json_file, failed=bool(result["failed"]))


@app.command()
def predict(  # noqa: PLR0913  one parameter an option
    run: Run,
    images: Annotated[list[Path], typer.Argument(help="Images, DICOM series folders, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Where masks and reports go.")],
    fold: Annotated[
        int | None, typer.Option(help="Only this fold; default: all that are trained, averaged.")
    ] = None,
    ending: Annotated[
        str | None, typer.Option("--format", help="nii.gz, nii, mha, nrrd, png or tif.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace masks that are there.")] = False,
    mirror: Annotated[
        bool | None,
        typer.Option(
            "--mirror/--no-mirror", help="Average over mirrored copies; default: as the recipe says."
        ),
    ] = None,
    backend: Backend = "auto",
    budget: Annotated[
        str | None, typer.Option(help="Time for each image: 60s, 2m. Windows overlap less to keep it.")
    ] = None,
    device: Device = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Segment images; every mask lies on exactly its image's grid."""
    from medunet.workflows import predict as work

    how: dict[str, Any] = {"folds": None if fold is None else [fold], "device": device, "backend": backend}
    how |= {"ending": ending, "overwrite": overwrite, "mirror": mirror, "budget": budget}
    result = work.predict(_open(run, workspace), images, out, **how)
    _finish(result, json_file, failed=bool(result["failed"]))


@app.command()
def demo(workspace: Workspace = Path("demo"), json_file: Json = None) -> None:
    """Run the main job end to end on data that needs no download, in about ten minutes on two cores."""
    from medunet.workflows import demo as work

    _finish(work.demo(workspace), json_file)


def main() -> None:
    """Run the command: 0 done, 1 some cases failed, 2 the request is wrong; a traceback is a bug."""
    try:
        app()
    except MedunetError as error:
        typer.echo(f"medunet: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        typer.echo(
            f"medunet: {error.filename or 'a file'}: {error.strerror}. "
            "Make room, or name a folder that you may write to.",
            err=True,
        )
        sys.exit(2)


def _open(run: Path, workspace: Path) -> Any:
    """Return the run in a folder as named, or as named from the workspace."""
    from medunet.config.run import RunFolder

    return RunFolder.open(run if run.exists() else workspace / run)


def _load(recipe: str, card: str | None, settings: list[str] | None) -> tuple[Any, Any]:
    from medunet.config.load import find_yaml, load_card, load_recipe

    chosen = load_recipe(recipe, settings or [])
    return chosen, load_card(card or chosen.card, near=None if card else find_yaml(recipe, "pipelines"))


def _card_for_doctor(target: str, data: Path | None) -> Any:
    """Return the card that `target` names, if it names one; a YAML card needs --data."""
    from medunet.config.load import load_card

    if data is not None:
        return load_card(target)
    if not Path(target).exists():
        raise ConfigError(
            f"{target}: no such file or folder. Give a data folder, a file, or a card with --data FOLDER."
        )
    return None


def _with_memory(settings: list[str] | None, memory_gb: float | None) -> list[str]:
    return [*(settings or []), *([f"planning.memory_gb={memory_gb}"] if memory_gb else [])]


def _device_kind(device: str | None) -> Any:
    from medunet.engine.distributed import pick_device

    return pick_device(device).type


def _finish(
    result: dict[str, Any], json_file: Path | None, *, failed: bool = False, show: bool = False
) -> None:
    """Print or write the result and end with 1 if some cases failed."""
    text = json.dumps(result, indent=1, allow_nan=False, default=str)
    if os.environ.get("RANK", "0") != "0":  # of the processes that torchrun starts, one writes
        return
    if json_file is not None:
        from medunet.io.write import write_atomic

        with write_atomic(json_file) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    if show:
        typer.echo(text)
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
