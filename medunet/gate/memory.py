"""Is a sample the copy of a training case? Its distance to the nearest one, beside that of unseen real cases.

Real cases that were not trained on also have a nearest training case; how near, is the yardstick: a sample
that is nearer than all but one in four hundred of them is taken for a copy (nearest-neighbour distance ratio,
after Dar et al. 2024, arXiv 2402.01054, on aligned images instead of a trained embedding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from medunet.config.plan import Plan
from medunet.config.samples import Check
from medunet.errors import DataError
from medunet.gate.near import Memory, Near
from medunet.gate.pieces import Piece, draw
from medunet.gate.views import factors, view_of

MOST_UNSEEN = 300  # windows of training cases that stand for unseen ones, each compared without its patient
EACH = 4  # of one case at most, where a case has room for as many
HIGH = 90.0  # percentile of the unseen from which the tail beyond it is told
FEWEST = 2  # patients
BORROWED = 0.95  # Dice with a training mask above which it is said to be the same


@dataclass(frozen=True)
class Tail:
    """How large a number gets for unseen real cases."""

    typical: float  # median
    most: float  # all but a small share of them stay below

    @classmethod
    def of(cls, values: NDArray[np.float64], percentile: float) -> Tail:
        """Return the tail: above its median a number is taken for normal, with nine in ten of the values."""
        typical, high = (float(value) for value in np.percentile(values, (50, HIGH)))
        spread = (high - typical) / norm.ppf(HIGH / 100)
        return cls(typical, float(typical + norm.isf(percentile / 100) * spread))

    def distance(self, value: float) -> float:
        """Return a distance that is 1 at the limit: 1 - correlation is exp(-2z), near 1, but for a factor."""
        return float(np.exp(2 * (self.most - value)))


@dataclass(frozen=True)
class Limit:
    """The yardstick: what is beyond either tail is a copy.

    Closeness finds the copy of a dull picture; likeness alone that of a patient who is there twice, under two
    names, and so has a rival.
    """

    closeness: Tail
    likeness: Tail
    unseen: int  # windows measured

    def check(self, near: Near, name: str) -> Check:
        """Return the check of a sample; `name`: how its nearest training image is called in the record."""
        distance = min(self.closeness.distance(near.closeness), self.likeness.distance(near.likeness))
        passed = distance >= 1
        reason = f"{'new' if passed else 'a copy'}: {distance:.2f} of the distance that nearly all of "
        reason += f"{self.unseen} windows of other patients keep from training; "
        reason += f"nearest is image {name}, correlation {near.image:.2f}, of what the masks "
        reason += f"do not explain {near.texture:.2f}"
        if near.mask > BORROWED:
            reason += "; it has the same mask, which alone condemns no sample"
        return Check(name="memory", passed=passed, number=round(distance, 4), limit=1.0, reason=reason)


def limit_of(unseen: Sequence[Near], percentile: float) -> Limit:
    """Return the yardstick from unseen real cases; `percentile` of them may be beyond either tail.

    Some hundred cases do not show one in four hundred, so it is told from those that they show. A few
    near-identical real cases do not move it.
    """
    closeness = np.array([near.closeness for near in unseen])
    likeness = np.array([near.likeness for near in unseen])
    return Limit(Tail.of(closeness, percentile), Tail.of(likeness, percentile), len(unseen))


class Guard:
    """The training cases in memory, and the yardstick: each of them beside those of all other patients."""

    def __init__(
        self,
        training: Sequence[Piece],
        window: Sequence[int],
        plan: Plan,
        percentile: float,
        seed: int = 0,
        bare: Sequence[Piece] = (),
    ) -> None:
        """Take whole training cases and the shape of the samples; `bare`: scans learnt from without a mask.

        These are searched like the others, and numbered after them; no window of theirs is in the yardstick.
        DataError: all are of one patient, so that there is none.
        """
        self.training, self.window, self.plan = training, tuple(window), plan
        self.known = (*training, *bare)
        self.patients = [piece.patient for piece in self.known]
        if len(set(self.patients)) < FEWEST:
            raise DataError(
                f"memory: the generator has learnt from {len(set(self.patients))} patient, expected at least "
                f"{FEWEST}: how near other patients come is the limit. Train it with more patients."
            )
        views = [view_of(piece.image, piece.mask, window) for piece in self.known]
        compared = [n // k for n, k in zip(window, factors(window), strict=True)]
        self.memory = Memory(views, self.patients, compared)
        self.limit = limit_of(self._left_out(seed), percentile)

    def near(self, pieces: Sequence[Piece]) -> list[Near]:
        """Return the nearest training case of each piece."""
        return self.memory.near([view_of(piece.image, piece.mask, self.window) for piece in pieces])

    def _left_out(self, seed: int) -> list[Near]:
        """Return windows of training cases beside the cases of all other patients."""
        random = np.random.default_rng(seed)
        order = random.permutation(len(self.training))
        room = max(piece.mask.size for piece in self.training) / float(np.prod(self.window))
        chosen = np.resize(order, min(MOST_UNSEEN, len(order) * int(np.clip(room, 1, EACH))))
        same: dict[str, list[int]] = {}
        for number, patient in enumerate(self.patients):
            same.setdefault(patient, []).append(number)
        drawn = [draw(self.training[int(n)], self.window, self.plan, random) for n in chosen]
        views = [view_of(piece.image, piece.mask, self.window) for piece in drawn]
        return self.memory.near(views, [same[piece.patient] for piece in drawn])
