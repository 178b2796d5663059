"""The run folder of a training: made once, found again by the same command, never mixed up."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from medunet.config.generator import GeneratorRecipe
from medunet.config.load import write_yaml
from medunet.config.recipe import Recipe
from medunet.config.run import Folds, RunFolder
from medunet.data.plan import Device
from medunet.data.ranges import ranges_of
from medunet.data.splits import beyond, folds_of, strata_of
from medunet.errors import ConfigError
from medunet.io.write import write_atomic
from medunet.workflows.generator_plan import fitted
from medunet.workflows.origin import origin
from medunet.workflows.prepare import Survey, plan_for
from medunet.workflows.progress import say


def run_path(workspace: Path, name: str | None, recipe: Recipe | GeneratorRecipe, found: Survey) -> Path:
    """Return where a run lies: named by what decides its result, so that the same command finds it."""
    what = [recipe.model_dump_json(), found.card.model_dump_json(), found.data_hash]
    short = hashlib.sha256("|".join(what).encode()).hexdigest()[:8]
    return workspace / "runs" / (name or f"{recipe.name}-{short}")


def create(path: Path, recipe: Recipe | GeneratorRecipe, found: Survey, device: Device) -> None:
    """Write config, card, plan, ranges and folds, unless the run is there; with run.json it is complete."""
    if (path / "run.json").is_file():
        return
    plan = plan_for(found, recipe, device)
    if isinstance(recipe, GeneratorRecipe):
        plan = fitted(plan, recipe, list(found.fingerprints.values()))
    for reason in plan.reasons:
        say(f"plan: {reason}")
    prints = found.fingerprints
    strata = strata_of([p.kind for p in prints.values()], [p.labelled_share for p in prints.values()])
    patients = {case: found.cases[case].patient for case in prints}
    folds = _folds(recipe, patients, dict(zip(prints, strata, strict=True)), found.content)
    path.mkdir(parents=True, exist_ok=True)
    write_yaml(path / "config.yaml", recipe.model_dump(mode="json"))
    write_yaml(path / "card.yaml", found.card.model_dump(mode="json"))
    write_yaml(path / "plan.yaml", plan.model_dump(mode="json"))
    ranges = ranges_of(list(prints.values()), found.card.labels)
    write_yaml(path / "ranges.yaml", ranges.model_dump(mode="json"))
    (path / "folds.json").write_text(folds.model_dump_json(indent=1), encoding="utf-8")
    facts = {
        "data": str(found.data.absolute()),
        "data_hash": found.data_hash,
        "failed": found.failed,
        **origin(),
    }
    with write_atomic(path / "run.json") as temporary:  # last: a run with run.json is complete
        temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _folds(
    recipe: Recipe | GeneratorRecipe,
    patients: dict[str, str],
    strata: dict[str, str],
    content: dict[str, str],
) -> Folds:
    """Return who is held out and, where the recipe asks for fewer patients, who is left out."""
    how = recipe.training
    seed = how.seed if how.split_seed is None else how.split_seed
    validation = folds_of(patients, strata, recipe.folds, seed)
    left_out: list[tuple[str, ...]] = []
    if (wanted := how.patients) is not None:
        training = [{c: who for c, who in patients.items() if c not in held_out} for held_out in validation]
        left_out = [beyond(part, wanted, seed) for part in training]
    return Folds(
        seed=seed, validation=validation, patients=patients, content=content, left_out=tuple(left_out)
    )


def reopen(path: Path, recipe: Recipe | GeneratorRecipe, found: Survey) -> RunFolder:
    """Return the run at `path`; ConfigError if it was made with another recipe, card or data."""
    run = RunFolder.open(path)
    mine = (recipe.model_dump_json(), found.card.model_dump_json(), found.data_hash)
    if (run.any_recipe.model_dump_json(), run.card.model_dump_json(), run.origin["data_hash"]) != mine:
        raise ConfigError(
            f"{path}: was made with another recipe, card or data. Give another --name, or the same options."
        )
    return run
