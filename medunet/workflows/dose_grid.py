"""What a dose-response tries: trainings on so many patients, with so many synthetic cases of such an arm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from medunet.config.card import Card
from medunet.config.recipe import Recipe
from medunet.errors import ConfigError

CONTROL = "strong"  # what synthetic data must beat
WITHOUT = ("none", CONTROL)  # arms that learn from real cases alone
PROCEDURAL, GATED = "procedural", "gated"  # masks that nobody has; sets that passed the whole gate
ARMS = (*WITHOUT, PROCEDURAL, "generated", GATED)  # `generated`: checks of privacy alone


@dataclass(frozen=True)
class Grid:
    """What is tried. `patients` None: all of the fold."""

    patients: tuple[int | None, ...] = (10, 20, None)
    ratios: tuple[float, ...] = (1.0, 2.0, 3.0)
    arms: tuple[str, ...] = ARMS
    seeds: tuple[int, ...] = (0, 1, 2)
    fold: int = 0
    batch_share: float = 0.5
    real_only: float = 0.2

    def dots(self) -> Iterator[Dot]:
        """Yield every training, those of the control first: an early stop leaves something to compare."""
        for patients in self.patients:
            for arm in sorted(self.arms, key=lambda arm: arm != CONTROL):
                for ratio in (0.0,) if arm in WITHOUT else self.ratios:
                    yield from (Dot(patients, arm, ratio, seed) for seed in self.seeds)


@dataclass(frozen=True)
class Dot:
    """One training of the grid."""

    patients: int | None
    arm: str
    ratio: float  # synthetic cases per real one; 0 in arms without any
    seed: int

    @property
    def name(self) -> str:
        """Its name among all runs of the study."""
        many = "all" if self.patients is None else f"n{self.patients}"
        return f"{many}-{self.arm}" + (f"-r{self.ratio:g}" if self.ratio else "") + f"-s{self.seed}"


@dataclass(frozen=True)
class SetOrder:
    """A synthetic set that is asked for, admitted by this workspace's gate, for all ratios and seeds.

    recipe: of the training without it; its `training.split_seed` and `training.patients` give a generator
    the same folds and patients.
    """

    recipe: Recipe
    card: Card
    data: Path
    workspace: Path
    fold: int
    patients: int | None
    arm: str
    ratio: float  # the largest one
    control: Path  # a trained fold on the same patients without synthetic cases: it may judge them

    @property
    def name(self) -> str:
        """A name for the set, its own for these patients, fold and arm."""
        many = "all" if self.patients is None else f"n{self.patients}"
        return f"{self.recipe.name}-{many}-fold{self.fold}-{self.arm}"


MakeSet = Callable[[SetOrder], Path]


def sets_in(folder: Path) -> MakeSet:
    """Return a maker that finds sets that are there: FOLDER/NAME with `SetOrder.name`."""

    def find(order: SetOrder) -> Path:
        place = folder / order.name
        if not (place / "manifest.json").is_file():
            raise ConfigError(f"{place}: no synthetic set. Make it, or leave the arm {order.arm} out.")
        return place

    return find
