"""Is a sample the copy of a training case? Its distance to the nearest one, beside that of unseen real cases.

Real cases that were not trained on also have a nearest training case; how near, is the yardstick: a sample
that is nearer than all but one in two hundred of them is taken for a copy (nearest-neighbour distance ratio,
after Dar et al. 2024, arXiv 2402.01054, on aligned images instead of a trained embedding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from medunet.config.plan import Plan
from medunet.config.samples import Check
from medunet.errors import DataError
from medunet.gate.near import Memory, Near
from medunet.gate.pieces import Piece, draw
from medunet.gate.views import MAD, factors, view_of

MOST_UNSEEN = 300  # windows of training cases that stand for unseen ones, each compared without its patient
EACH = 4  # of one case at most, where a case has room for as many
CLIPPED = 0.9999  # likeness, for its arctanh
FEWEST = 2  # patients
BORROWED = 0.95  # Dice with a training mask above which it is said to be the same


@dataclass(frozen=True)
class Limit:
    """The yardstick, as distances 1 - likeness."""

    typical: float  # median over unseen real cases
    least: float  # nearer is a copy
    percentile_1: float  # of the unseen, as measured
    unseen: int  # windows measured

    def check(self, near: Near, name: str) -> Check:
        """Return the check of a sample; `name`: how its nearest training image is called in the record."""
        ratio, limit = (1 - near.likeness) / self.typical, self.least / self.typical
        passed = ratio >= limit
        reason = (
            f"{'new' if passed else 'a copy'}: {ratio:.2f} of the typical distance between an unseen real "
        )
        reason += f"case and training (of {self.unseen} windows); "
        reason += f"nearest is image {name}, correlation {near.image:.2f}, of what the masks "
        reason += f"do not explain {near.texture:.2f}"
        if near.mask > BORROWED:
            reason += "; it has the same mask, which alone condemns no sample"
        return Check(
            name="memory", passed=passed, number=round(ratio, 4), limit=round(limit, 4), reason=reason
        )


def limit_of(unseen: Sequence[Near], percentile: float) -> Limit:
    """Return the yardstick from unseen real cases; `percentile` of them may be taken for copies.

    Some hundred cases do not show one in two hundred: Fisher's z of their likeness (arctanh) is taken for
    normal, its centre and spread from median and MAD, which near-identical real cases do not move.
    """
    likeness = np.array([near.likeness for near in unseen])
    z = np.arctanh(np.clip(likeness, -CLIPPED, CLIPPED))
    centre = float(np.median(z))
    spread = MAD * float(np.median(np.abs(z - centre)))
    most = np.tanh(centre + norm.isf(percentile / 100) * spread)
    distance = 1 - likeness
    return Limit(
        float(np.median(distance)), float(1 - most), float(np.percentile(distance, 1)), len(distance)
    )


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
        self.memory = Memory(views, compared)
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
