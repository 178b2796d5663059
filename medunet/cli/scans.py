"""Commands on data sets: doctor, check, prepare."""

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
    """Check a recipe, its card and, with --data, its files in a second, before any training."""
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
