"""Options that several commands share, and what each command does at its start and end."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

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
    typer.Option(
        "--workspace",
        envvar="MEDUNET_WORKSPACE",
        help="Where runs/, synthetic/, keys/, cache/ and mlflow/ live.",
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", help="cpu, cuda, cuda:1 or mps; default: the best here.")
]
Backend = Annotated[str, typer.Option("--backend", help="torch, openvino, or auto: the fastest one here.")]
Irregular = Annotated[
    str,
    typer.Option(
        "--irregular",
        help="Tilted or unevenly spaced DICOM slices: error, resample, or longest (run of even gaps).",
    ),
]
MemoryGb = Annotated[float | None, typer.Option("--memory-gb", help="Plan for so much memory.")]


def open_run(run: Path, workspace: Path) -> Any:
    """Return the run in a folder as named, or as named from the workspace."""
    from medunet.config.run import RunFolder

    return RunFolder.open(run if run.exists() else workspace / run)


def load_both(recipe: str, card: str | None, settings: list[str] | None) -> tuple[Any, Any]:
    """Return the recipe with its settings, and the card: the named one, or the recipe's own."""
    from medunet.config.load import find_yaml, load_any_recipe, load_card

    chosen = load_any_recipe(recipe, settings or [])
    return chosen, load_card(card or chosen.card, near=None if card else find_yaml(recipe, "pipelines"))


def with_memory(settings: list[str] | None, memory_gb: float | None) -> list[str]:
    """Return the settings with the memory that was asked for."""
    return [*(settings or []), *([f"planning.memory_gb={memory_gb}"] if memory_gb else [])]


def finish(
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
