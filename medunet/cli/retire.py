"""Commands on where synthetic scans come from and go to: lineage, retire."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medunet.cli.options import Json, Workspace, finish

More = Annotated[
    list[Path] | None,
    typer.Option("--data", help="A folder beside the workspace to look in as well; may be repeated."),
]


def lineage(
    place: Annotated[
        Path,
        typer.Argument(metavar="RUN_OR_SET", help="A run, one of its fold_K folders, or a synthetic set."),
    ],
    data: More = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Show what a run or synthetic set was made from, down to the patients' data, and what came of it."""
    from medunet.workflows import lineage as work

    named = place if place.exists() else workspace / place
    result = work.lineage(named, workspace=workspace, data=data or ())
    finish(result, json_file, failed=bool(result["unreadable"]))


def retire(
    patient: Annotated[str, typer.Argument(help="The patient, as the runs' folds.json name them.")],
    run: Annotated[
        Path | None, typer.Option("--run", help="The run that knows the patient by this name.")
    ] = None,
    data: More = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Move the samples away and take back their admission.")
    ] = False,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """List all that was made from a patient's scans: generators, synthetic sets, samples, models."""
    from medunet.workflows import retire as work

    result = work.retire(patient, workspace=workspace, run=run, data=data or (), quarantine=quarantine)
    finish(result, json_file, failed=bool(result["unreadable"]) or not result["known"])
