"""Can an attacker tell from the generator's loss whether it was trained on a case? (membership inference)"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Losses = NDArray[np.float64]
TIMES = (0.3, 0.5, 0.7)  # of the path from image to noise: a loss near its ends tells little
DRAWS = 2000


@dataclass(frozen=True)
class Membership:
    """The area under the ROC curve of the rule "a low loss is a member": 0.5 tells nothing, 1 everything."""

    auc: float
    ci95: tuple[float, float]
    members: int
    non_members: int


def membership(members: Losses, non_members: Losses, *, seed: int = 0) -> Membership:
    """Return the AUC and its bootstrap interval over cases.

    members, non_members: (cases, times) losses of the generator at `TIMES`, with the same noise for all.
    Losses are ranked at each time among all cases and averaged: late times have larger losses.
    """
    ranks = rankdata(np.concatenate([members, non_members]), axis=0).mean(1)
    low, high = ranks[: len(members)], ranks[len(members) :]
    wins = (low[:, None] < high) + 0.5 * (low[:, None] == high)  # Mann-Whitney; a tie is half
    random = np.random.default_rng(seed)
    times = [random.multinomial(n, np.full(n, 1 / n), DRAWS) / n for n in wins.shape]
    drawn = np.einsum("di,ij,dj->d", times[0], wins, times[1], optimize=True)
    interval = np.percentile(drawn, (2.5, 97.5))
    return Membership(float(wins.mean()), (float(interval[0]), float(interval[1])), *wins.shape)
