"""The run folder: what a training leaves behind and all that inference needs.

RUN/config.yaml  card.yaml  plan.yaml  ranges.yaml  folds.json  run.json
RUN/fold_0/weights.safetensors  fold.json  metrics.jsonl  checkpoint/  evaluation/
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from medunet.config.base import Record, parse
from medunet.config.card import Card
from medunet.config.generator import GeneratorRecipe
from medunet.config.load import as_recipe, read_yaml
from medunet.config.plan import Plan
from medunet.config.ranges import Ranges
from medunet.config.recipe import Recipe
from medunet.errors import ConfigError


class Folds(Record):
    """Which patients are held out in which fold, stored with the run."""

    seed: int
    validation: tuple[tuple[str, ...], ...]  # case ids per fold
    patients: dict[str, str]  # case id -> patient
    content: dict[str, str]  # case id -> hashes of image and mask, to know a training case again
    left_out: tuple[tuple[str, ...], ...] = ()  # case ids per fold, neither learnt from nor scored; (): none

    def training(self, fold: int) -> tuple[str, ...]:
        """Return the case ids that a fold learns from, sorted."""
        rest = {*self.validation[fold], *(self.left_out[fold] if self.left_out else ())}
        return tuple(sorted(set(self.patients) - rest))


@dataclass(frozen=True)
class RunFolder:
    """A run on disk. `only_fold` is set when the path named one fold."""

    path: Path
    only_fold: int | None = None

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return the run at a run folder or at one of its `fold_K` folders; ConfigError if there is none."""
        fold = re.fullmatch(r"fold_(\d+)", path.name)
        if fold and (path.parent / "config.yaml").is_file():
            return cls(path.parent, int(fold[1]))
        missing = [n for n in ("config.yaml", "card.yaml", "plan.yaml") if not (path / n).is_file()]
        if missing:
            raise ConfigError(
                f"{path}: not a run: {', '.join(missing)} not found. "
                "Give the folder that `medunet train` named, or one of its fold_K folders."
            )
        return cls(path)

    @cached_property
    def any_recipe(self) -> Recipe | GeneratorRecipe:
        """The resolved recipe, of a segmenter or a generator."""
        return as_recipe(read_yaml(self.path / "config.yaml"), where=str(self.path / "config.yaml"))

    @property
    def makes_scans(self) -> bool:
        """Whether the run is a generator."""
        return isinstance(self.any_recipe, GeneratorRecipe)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of a segmenter; ConfigError if the run is a generator."""
        if isinstance(self.any_recipe, GeneratorRecipe):
            raise ConfigError(
                f"{self.path}: is a generator of synthetic scans; expected a segmentation run. "
                "Use it with `medunet sample` and `medunet evaluate`."
            )
        return self.any_recipe

    @cached_property
    def generator(self) -> GeneratorRecipe:
        """The recipe of a generator; ConfigError if the run is a segmenter."""
        if not isinstance(self.any_recipe, GeneratorRecipe):
            raise ConfigError(
                f"{self.path}: is a segmentation run; expected a generator. Train one from a recipe with "
                "`task: synthesize`, such as synth_hippocampus."
            )
        return self.any_recipe

    @cached_property
    def card(self) -> Card:
        """The card of the training data."""
        return parse(Card, read_yaml(self.path / "card.yaml"), where=str(self.path / "card.yaml"))

    @cached_property
    def plan(self) -> Plan:
        """What was planned."""
        return parse(Plan, read_yaml(self.path / "plan.yaml"), where=str(self.path / "plan.yaml"))

    @cached_property
    def ranges(self) -> Ranges | None:
        """What the training data were like; None for runs of before it was kept."""
        place = self.path / "ranges.yaml"
        return parse(Ranges, read_yaml(place), where=str(place)) if place.is_file() else None

    @cached_property
    def folds(self) -> Folds:
        """The folds."""
        return parse(Folds, self._json("folds.json"), where=str(self.path / "folds.json"))

    def fold(self, fold: int) -> Path:
        """Return the folder of a fold."""
        return self.path / f"fold_{fold}"

    @property
    def trained(self) -> tuple[int, ...]:
        """The folds that have weights (only the named one, if a fold was named)."""
        found = sorted(int(p.parent.name[5:]) for p in self.path.glob("fold_*/weights.safetensors"))
        return tuple(f for f in found if self.only_fold in (None, f))

    def one_trained(self, wanted: int | None = None) -> int:
        """Return the fold that has weights and is meant; ConfigError if there is none, or more than one."""
        if not self.trained:
            raise ConfigError(f"{self.path}: no trained weights; run `medunet train` to its end first.")
        if wanted is None and len(self.trained) > 1:
            raise ConfigError(f"{self.path}: folds {_list(self.trained)} are trained; name one with --fold.")
        if wanted is not None and wanted not in self.trained:
            raise ConfigError(
                f"{self.path}: fold {wanted} has no trained weights; trained folds: {_list(self.trained)}."
            )
        return self.trained[0] if wanted is None else wanted

    def other(self, place: str) -> RunFolder:
        """Return a run that this one's recipe names: by path, or from the workspace that this run lies in."""
        here = Path(place)
        return RunFolder.open(here if here.exists() else self.path.absolute().parents[1] / here)

    @property
    def origin(self) -> dict[str, Any]:
        """`run.json`: data folder, hashes, versions, commit."""
        found: dict[str, Any] = self._json("run.json")
        return found

    def _json(self, name: str) -> Any:
        place = self.path / name
        try:
            return json.loads(place.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{place}: cannot be read: {error}. Copy the run again, or train anew."
            ) from None


def _list(folds: tuple[int, ...]) -> str:
    return ", ".join(map(str, folds))
