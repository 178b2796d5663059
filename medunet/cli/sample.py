"""Commands that make synthetic scans: sample."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from medunet.cli.options import Device, Json, Run, Workspace, finish, open_run
from medunet.errors import ConfigError

Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder of the synthetic set; default: synthetic/RUN-SEED in the workspace."),
]


def sample(  # noqa: PLR0913  one parameter an option
    run: Run,
    out: Out = None,
    count: Annotated[int, typer.Option(min=1, help="How many cases the set is to hold.")] = 100,
    masks: Annotated[
        str | None,
        typer.Option(
            help="Masks: deform, blend, scatter, transplant, gray_scott, flow or copy; default: the recipe's."
        ),
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", metavar="NAME=VALUE", help="Ask for a kind of scan; may be repeated."),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="euler, heun, dpmpp, unipc, ddim or ddpm; default: the recipe's.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the sampler; default: the recipe's.")
    ] = None,
    guidance: Annotated[
        float | None, typer.Option(min=0, help="Above 1: attributes are followed more strictly.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes another set.")] = 0,
    fold: Annotated[int | None, typer.Option(help="Which fold's generator; default: the only one.")] = None,
    remake: Annotated[
        str | None,
        typer.Option(
            metavar="CASE",
            help="Make a case of the set again, compare the bytes, write nothing; 1: they differ.",
        ),
    ] = None,
    dicom: Annotated[
        Path | None,
        typer.Option(help="Write all cases but rejects as DICOM too: an image series and a SEG each."),
    ] = None,
    device: Device = None,
    workspace: Workspace = Path(),
    json_file: Json = None,
) -> None:
    """Make synthetic scans with their masks from a trained generator; each can be made again, bit by bit.

    The same command again goes on where it stopped. Next: `medunet admit`.
    """
    from medunet.workflows import sample as work

    wanted = dict(_pair(text) for text in attribute or [])
    chosen = open_run(run, workspace)
    place = out or workspace / "synthetic" / f"{chosen.path.name}-{seed}"
    if remake is not None:
        same = work.remake(place, remake, workspace=workspace, run=chosen, device=device)
        finish({"case": remake, "same": same}, json_file, failed=not same, show=True)
        return
    order = work.Order(
        count=count,
        seed=seed,
        masks=masks,
        attributes=wanted,
        sampler=sampler,
        steps=steps,
        guidance=guidance,
    )
    result = work.sample(chosen, place, order, workspace=workspace, fold=fold, device=device)
    from medunet.workflows.set_tracking import track_set

    track_set("sample", result, workspace, os.environ.get("MLFLOW_TRACKING_URI"))
    if dicom is not None:
        from medunet.workflows.synthetic_dicom import export_dicom
        from medunet.workflows.synthetic_set import SyntheticSet

        result["dicom"] = len(export_dicom(SyntheticSet.open(place), dicom))
    finish(result, json_file)


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise ConfigError(f"--attribute {text}: expected NAME=VALUE, such as kind=colour.")
    return name, value
