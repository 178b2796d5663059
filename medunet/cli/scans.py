"""Commands on data sets: doctor, check, prepare, deidentify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medunet.cli.options import (
    CardOption,
    Data,
    Device,
    Json,
    MaybeData,
    MemoryGb,
    Recipe,
    Settings,
    Workspace,
    finish,
    load_both,
    with_memory,
)
from medunet.errors import ConfigError


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
    finish(report.as_json(), json_file, failed=bool(report.exit_code))


def check(
    recipe: Recipe,
    data: MaybeData = None,
    card: CardOption = None,
    settings: Settings = None,
    json_file: Json = None,
) -> None:
    """Check a recipe, its card and, with --data, its files, before any training: a second.

    For a generator some seconds more: what its network costs, and how many steps the budget buys here.
    """
    from medunet.workflows import check as work

    chosen, chosen_card = load_both(recipe, card, settings)
    finish(work.check(chosen, chosen_card, data), json_file, show=True)


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

    chosen, chosen_card = load_both(recipe, card, with_memory(settings, memory_gb))
    result = work.prepare(chosen, chosen_card, data, workspace, _device_kind(device))
    finish(result, json_file, failed=bool(result["failed"]))


def deidentify(  # noqa: PLR0913  one parameter an option
    inputs: Annotated[list[Path], typer.Argument(help="Folders with DICOM files, or files.")],
    out: Annotated[Path, typer.Option(help="Where the files for research go.")],
    key: Annotated[Path, typer.Option(help="The project's secret; made where there is none. Keep it safe.")],
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write old -> new as CSV, for those who re-identify.")
    ] = None,
    keep_characteristics: Annotated[
        bool, typer.Option("--keep-characteristics", help="Keep sex, age (to 89), size and weight.")
    ] = False,
    keep_private: Annotated[
        list[str] | None,
        typer.Option(metavar="CREATOR,GROUP,ELEMENT", help="A private number to keep; may be repeated."),
    ] = None,
    reviewed: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Short names of quarantined files or series to let through."),
    ] = None,
    json_file: Json = None,
) -> None:
    """Make DICOM fit for research: names, dates, UIDs and private data go, scans and their links stay."""
    from medunet.workflows import deidentify as work

    how: dict[str, Any] = {"mapping": mapping, "reviewed": reviewed}
    how["keep_characteristics"] = keep_characteristics
    result = work.deidentify(inputs, out, key_file=key, keep_private=keep_private or (), **how)
    finish(result, json_file, failed=bool(result["failed"]))


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


def _device_kind(device: str | None) -> Any:
    from medunet.engine.distributed import pick_device

    return pick_device(device).type
