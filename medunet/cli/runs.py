"""Commands on runs: train, evaluate, predict, demo."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from medunet.cli.options import (
    Backend,
    CardOption,
    Data,
    Device,
    Irregular,
    Json,
    MemoryGb,
    Recipe,
    Run,
    Settings,
    Workspace,
    finish,
    load_both,
    open_run,
    with_memory,
)
from medunet.errors import ConfigError


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
    """Train one fold of a segmenter or a generator. The same command again goes on where it stopped."""
    wishes = with_memory(settings, memory_gb) + ([f"training.budget={budget}"] if budget else [])
    chosen, chosen_card = load_both(recipe, card, wishes)
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
    finish(result, json_file, failed=bool(result["failed"]), show=True)


def evaluate(  # noqa: PLR0913  one parameter an option
    run: Run,
    data: Annotated[
        Path | None, typer.Option(help="Other labelled data than the run's held-out cases.")
    ] = None,
    fold: Annotated[int | None, typer.Option(help="Only this fold; default: all that are trained.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where tables, report and masks go.")] = None,
    save_masks: Annotated[bool, typer.Option("--save-masks", help="Keep the predicted masks.")] = False,
    segmenter: Annotated[
        Path | None, typer.Option(help="Of a generator: a segmenter of the same fold; do scans obey masks?")
    ] = None,
    card: Annotated[str | None, typer.Option(help="Card of --data, if it is laid out otherwise.")] = None,
    device: Device = None,
    backend: Backend = "torch",
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Score a run (or judge a generator) on cases it was not trained on: tables, intervals, pictures."""
    from medunet.config.load import load_card
    from medunet.workflows import evaluate as work

    chosen = open_run(run, workspace)
    given = {"--data": data, "--card": card, "--save-masks": save_masks, "--backend": backend != "torch"}
    if chosen.makes_scans:
        from medunet.workflows.judge import judge

        _no_use(given, "a generator of synthetic scans")
        known = open_run(segmenter, workspace) if segmenter else None
        result = judge(chosen, workspace=workspace, fold=fold, segmenter=known, out=out, device=device)
        finish(result, json_file)
        return
    _no_use({"--segmenter": segmenter}, "a segmentation run")
    other = load_card(card) if card else None
    result = work.evaluate(
        chosen,
        data=data,
        fold=fold,
        out=out,
        device=device,
        backend=backend,
        card=other,
        save_masks=save_masks,
    )
    finish(result, json_file, failed=bool(result["failed"]))


def _no_use(given: dict[str, Any], what: str) -> None:
    """Refuse options that would be passed over: who gives one believes that it counts."""
    if wrong := [name for name, value in given.items() if value]:
        raise ConfigError(f"evaluate: {', '.join(wrong)}: not for {what}. Leave it out.")


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
    irregular: Irregular = "error",
    device: Device = None,
    backend: Backend = "auto",
    budget: Annotated[
        str | None, typer.Option(help="Time for each image: 60s, 2m. Windows overlap less to keep it.")
    ] = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Segment images; every mask lies on exactly its image's grid."""
    from medunet.workflows import predict as work

    how: dict[str, Any] = {"folds": None if fold is None else [fold], "device": device, "backend": backend}
    how |= {"ending": ending, "overwrite": overwrite, "mirror": mirror, "budget": budget}
    how |= {"irregular": irregular}
    result = work.predict(open_run(run, workspace), images, out, **how)
    finish(result, json_file, failed=bool(result["failed"]))


def demo(workspace: Workspace = Path("demo"), json_file: Json = None) -> None:
    """Run the main job end to end on data that needs no download: 10 minutes on two cores."""
    from medunet.workflows import demo as work

    finish(work.demo(workspace), json_file)
