"""The command compare: runs against each other on the same held-out cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medunet.cli.options import Json, Workspace, finish


def compare(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Evaluated runs; the first is what the others are compared to."),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=RUN,RUN", help="Runs that differ in their seed only; once for each arm."),
    ] = None,
    measure: Annotated[str, typer.Option(help="A column of cases.csv, such as dice or hd95_mm.")] = "dice",
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the table as Markdown.")
    ] = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Compare runs on the same held-out cases: paired differences with intervals, per label and over all."""
    from medunet.io.write import write_atomic
    from medunet.workflows import compare as work

    arms = work.arms_of(runs or [], arm or [])
    found = {
        name: [run if run.exists() else workspace / run for run in places] for name, places in arms.items()
    }
    result = work.compare(found, measure=measure)
    if markdown is not None:
        with write_atomic(markdown) as temporary:
            temporary.write_text(work.markdown(result), encoding="utf-8")
    finish(result, json_file)
