"""Dose-response: does adding synthetic cases help, at which dose, and more than the same compute without?

Real patients x ratio x arm x seed, every training with the same steps and batch, all scored on the same
held-out patients. Finished trainings are only scored: the same call goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from medunet.config.base import parse
from medunet.config.budget import parse_budget
from medunet.config.card import Card
from medunet.config.recipe import Augmentation, Recipe, SyntheticChoice
from medunet.config.run import RunFolder
from medunet.errors import ConfigError, MedunetError
from medunet.io.write import write_atomic
from medunet.workflows.dose_grid import ARMS, CONTROL, WITHOUT, Dot, Grid, MakeSet, SetOrder
from medunet.workflows.dose_report import write_report
from medunet.workflows.dose_verdict import verdict
from medunet.workflows.evaluate import evaluate
from medunet.workflows.origin import origin
from medunet.workflows.progress import Bar, say
from medunet.workflows.train import train

FAULTS = (MedunetError, OSError, MemoryError, RuntimeError)  # of one training; the others go on
NO_AUGMENTATION = Augmentation(
    rotate=0, scale=0, flip=0, noise=0, blur=0, brightness=0, contrast=0, low_resolution=0, gamma=0
)


@dataclass
class DoseResponse:
    """A study: everything that its trainings share."""

    recipe: Recipe
    card: Card
    data: Path
    workspace: Path
    grid: Grid
    make_set: MakeSet
    out: Path
    options: dict[str, Any] = field(default_factory=dict)  # for `train`: device, tracking_uri
    _sets: dict[tuple[int | None, str], Path | Exception] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Train and score every dot; return the result that also lies in `out`."""
        self._check()
        rows: list[dict[str, Any]] = []
        dots = list(self.grid.dots())
        bar = Bar("Dose-response", len(dots), None)  # lines: each training shows a live bar of its own
        ending = "finished"
        for number, dot in enumerate(dots, 1):
            say(f"dose-response {number} of {len(dots)}: {dot.name}")
            row = self._row(dot)
            rows.append(row)
            if row["failed"]:
                say(f"failed: {dot.name}: {row['failed']}")
            bar.advance()
            if row["ending"] == "stopped":
                ending = "stopped"
                break
            self._write(rows, "running")
        return self._write(rows, ending)

    def _check(self) -> None:
        if parse_budget(self.recipe.training.budget)[1] is None:
            raise ConfigError(
                f"training.budget: {self.recipe.training.budget} is a time; a dose-response needs steps, so "
                "that all arms compute the same. Say --set training.budget='2000 steps'."
            )
        for ratio in self.grid.ratios:
            parse(SyntheticChoice, {"set": "any", "ratio": ratio}, where="ratios")
        if unknown := set(self.grid.arms) - set(ARMS):
            raise ConfigError(f"arms: no {', '.join(sorted(unknown))}; there are {', '.join(ARMS)}.")
        if CONTROL not in self.grid.arms:
            raise ConfigError(f"arms: {CONTROL} is what the others are compared to; add it.")

    def _row(self, dot: Dot) -> dict[str, Any]:
        row: dict[str, Any] = asdict(dot) | {"run": None, "failed": None, "ending": None}
        try:
            fold = self._trained(dot)
            if fold is None:
                return row | {"ending": "stopped"}
            summary = self._scored(fold)
        except FAULTS as error:
            return row | {"failed": str(error) or type(error).__name__}
        facts = json.loads((fold / "fold.json").read_text(encoding="utf-8"))
        scores = {label: found["dice"]["mean"] for label, found in summary["labels"].items()}
        kept = {key: facts[key] for key in ("ending", "steps", "seconds", "learnt_from")}
        return row | kept | {"run": str(fold), "mean_dice": summary["mean_dice"], "dice": scores}

    def _trained(self, dot: Dot) -> Path | None:
        """Return the fold's folder, trained now if it is not yet; None if a signal stopped the training."""
        key = self._key if dot.arm in WITHOUT else _short(self._key + getattr(self.make_set, "key", ""))
        name = f"{self.recipe.name}-{key}-{dot.name}"
        fold = self.workspace / "runs" / name / f"fold_{self.grid.fold}"
        if (fold / "weights.safetensors").is_file():
            self._check_data(fold)
            return fold
        common = {"card": self.card, "data": self.data, "fold": self.grid.fold, "workspace": self.workspace}
        result = train(self._recipe(dot), **common, name=name, **self.options)  # type: ignore[arg-type]
        return None if result["ending"] == "stopped" else fold

    def _check_data(self, fold: Path) -> None:
        before = Path(RunFolder.open(fold.parent).origin["data"])
        if before.resolve() != self.data.resolve():
            raise ConfigError(
                f"{fold.parent}: was trained on {before}, not on {self.data}. Give another --workspace."
            )

    def _scored(self, fold: Path) -> dict[str, Any]:
        summary = fold / "evaluation/summary.json"
        if not summary.is_file():
            return evaluate(RunFolder.open(fold.parent), fold=self.grid.fold)
        found: dict[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
        return found

    def _recipe(self, dot: Dot) -> Recipe:
        recipe = self._base(dot.patients, dot.seed)
        if dot.arm == "none":
            return recipe.model_copy(update={"augmentation": NO_AUGMENTATION})
        if dot.arm in WITHOUT:
            return recipe
        share = {"batch_share": self.grid.batch_share, "real_only": self.grid.real_only}
        choice = SyntheticChoice(set=str(self._set(dot)), ratio=dot.ratio, **share)
        return recipe.model_copy(update={"synthetic": choice})

    def _base(self, patients: int | None, seed: int) -> Recipe:
        """Return the recipe for so many patients: equal folds for all seeds, and no early end."""
        how = self.recipe.training
        split = how.seed if how.split_seed is None else how.split_seed
        changes = {"seed": seed, "split_seed": split, "patients": patients, "patience": None}
        return self.recipe.model_copy(update={"training": how.model_copy(update=changes), "synthetic": None})

    def _set(self, dot: Dot) -> Path:
        key = (dot.patients, dot.arm)
        if key not in self._sets:
            recipe = self._base(dot.patients, self.recipe.training.seed)
            where = (recipe, self.card, self.data, self.workspace, self.grid.fold)
            try:
                self._sets[key] = self.make_set(
                    SetOrder(*where, *key, max(self.grid.ratios), self._control(dot))
                )
            except FAULTS as error:  # once: every ratio and seed would fail alike
                self._sets[key] = error
        found = self._sets[key]
        if isinstance(found, Exception):
            raise found
        return found

    def _control(self, dot: Dot) -> Path:
        """Return the fold of the control on the same patients, trained now if it is not yet."""
        fold = self._trained(Dot(dot.patients, CONTROL, 0.0, self.grid.seeds[0]))
        if fold is None:
            raise ConfigError("the control's training was stopped. Run the study again.")
        return fold

    @property
    def _key(self) -> str:
        """What all trainings have in common: another recipe or card is another study."""
        text = self.recipe.model_dump_json() + self.card.model_dump_json()
        text += f"{self.grid.batch_share}|{self.grid.real_only}"
        return _short(text)

    def _write(self, rows: list[dict[str, Any]], ending: str) -> dict[str, Any]:
        result = {
            "recipe": self.recipe.name,
            "grid": asdict(self.grid),
            "budget": self.recipe.training.budget,
            "ending": ending,
            "rows": rows,
            "failed": [row for row in rows if row["failed"]],
            **(verdict(rows) if ending != "running" else {}),
            **origin(),
        }
        with write_atomic(self.out / "dose_response.json") as temporary:
            temporary.write_text(json.dumps(result, indent=1, allow_nan=False), encoding="utf-8")
        if ending != "running":
            write_report(self.out, result)
        return result


def dose_response(
    recipe: Recipe,
    *,
    card: Card,
    data: Path,
    workspace: Path,
    make_set: MakeSet,
    grid: Grid,
    out: Path | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train and score the grid; return rows, comparisons and the recommendation.

    make_set: may have a `key` that says what its sets depend on, such as the generator's recipe; with another
    key, what learns from them is trained anew.

    All lies in `out` (default WORKSPACE/dose_response/RECIPE) as dose_response.json, .md and .svg too. A
    training that fails is told and does not end the others. ConfigError: the budget is not in steps, or an
    arm is unknown.
    """
    place = out or workspace / "dose_response" / recipe.name
    return DoseResponse(recipe, card, data, workspace, grid, make_set, place, options).run()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
