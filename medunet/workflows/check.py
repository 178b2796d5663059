"""check: is a recipe right, before any hour is spent on it? Starts without torch."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import medunet
from medunet.config.base import Record, parse
from medunet.config.card import Card
from medunet.config.generator import GeneratorRecipe
from medunet.config.recipe import LossChoice, NetworkChoice, Recipe
from medunet.data.cases import check_expectations, find_cases
from medunet.errors import ConfigError
from medunet.workflows.progress import say


def check(recipe: Recipe | GeneratorRecipe, card: Card, data: Path | None) -> dict[str, Any]:
    """Check names, options and, with `data`, the files; return what a training would use.

    ConfigError or DataError says what is wrong. Torch is loaded only for a generator, whose cost is measured,
    and for a network or loss that is given options, since those are described in its own file.
    """
    out: dict[str, Any] = {"recipe": recipe.name, "card": card.name}
    if isinstance(recipe, GeneratorRecipe):
        from medunet.workflows.check_generator import check_generator

        out |= check_generator(recipe, card)
    else:
        _check_choice("network", recipe.network, "models/networks", recipe.name)
        _check_choice("loss", recipe.loss, "losses", recipe.name)
        out["network"] = recipe.network.name
    for wish in (recipe.planning.spacing_mm, recipe.planning.patch_voxels):
        if wish is not None and len(wish) != card.dims:
            raise ConfigError(
                f"planning: {list(wish)} has {len(wish)} numbers; the card {card.name} is {card.dims}D."
            )
    if data is not None:
        found = find_cases(card, data)
        check_expectations(card, found)
        patients = {case.patient for case in found.cases}
        if len(patients) < recipe.folds:
            raise ConfigError(
                f"folds: {recipe.folds} folds need as many patients; {data} has {len(patients)}."
            )
        for problem in found.problems:
            say(f"would be left out: {problem}")
        out |= {"cases": len(found.cases), "patients": len(patients), "left_out": list(found.problems)}
    return out


def _check_choice(kind: str, choice: NetworkChoice | LossChoice, folder: str, where: str) -> None:
    """Look a name up among the files of a folder, without importing them; check options by its `Options`."""
    files = (Path(medunet.__file__).parent / folder).glob("[!_]*.py")
    known = sorted(path.stem for path in files)
    if choice.name not in known:
        raise ConfigError(f"{kind}.name: no {kind} {choice.name!r}; there are {', '.join(known)}.")
    if choice.options:
        module = import_module(f"medunet.{folder.replace('/', '.')}.{choice.name}")
        options: type[Record] = module.Options
        parse(options, choice.options, where=f"{where}: {kind}.options")
