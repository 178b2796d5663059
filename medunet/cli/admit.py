"""The command that checks synthetic scans: admit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from medunet.cli.options import Device, Json, Workspace, finish, open_run
from medunet.errors import ConfigError

Set = Annotated[
    Path | None, typer.Argument(metavar="SET", help="The synthetic set that `medunet sample` made.")
]
Segmenter = Annotated[
    Path | None,
    typer.Option(help="A segmentation run that has not learnt from the generator's held-out cases."),
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change a limit, such as agreement=0.8; may be repeated."
    ),
]


def admit(
    place: Set = None,
    segmenter: Segmenter = None,
    self_test: Annotated[
        bool,
        typer.Option(
            "--self-test",
            help="Count which planted copies are refused; SET may be a run, default: newest set.",
        ),
    ] = False,
    settings: Limits = None,
    device: Device = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Check synthetic scans before a training may use them; rejects go to quarantine, with reasons."""
    from medunet.config.base import parse
    from medunet.config.gate import GateSettings
    from medunet.config.load import with_settings

    chosen = parse(GateSettings, with_settings({}, settings or []), where="--set")
    found = workspace / place if place and not place.exists() else place
    if self_test:
        from medunet.workflows.admit_self_test import test_gate

        tested = test_gate(found, workspace=workspace, settings=chosen)
        finish(tested, json_file, failed=not tested["passed"], show=True)
        return
    if found is None:
        raise ConfigError("SET is missing: name the folder that `medunet sample` made.")
    from medunet.workflows import admit as work

    judge = open_run(segmenter, workspace) if segmenter else None
    result = work.admit(found, workspace=workspace, segmenter=judge, settings=chosen, device=device)
    from medunet.workflows.set_tracking import track_set

    track_set("admit", result, workspace, os.environ.get("MLFLOW_TRACKING_URI"))
    finish(result, json_file, failed=bool(result["failed"]))
