"""Several readers who have all seen the same images: what they have in common, drawn over both.

Answers of one reader are alike, and so are answers to one image; an interval that takes them for independent
is too narrow. Readers and images are drawn with replacement, images within real and synthetic (two-way
bootstrap, as for multi-reader multi-case studies: Gallas et al., Acad Radiol 2012). It tends to be too wide,
not too narrow, and with one reader says nothing about others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medunet.metrics.bootstrap import DRAWS
from medunet.review.exact import ALPHA, need_margin

Values = NDArray[np.float64]
CELLS = 4_000_000  # pairs of images in memory at a time


@dataclass(frozen=True)
class Pooled:
    """Means over readers with 95 % intervals over readers and images, and equivalence to 50 % right."""

    accuracy: float
    accuracy_ci95: tuple[float, float]
    auc: float
    auc_ci95: tuple[float, float]
    p_value: float  # of two one-sided tests: the share of draws beyond the margin on its fuller side
    equivalent: bool


def pooled(scores: Values, synthetic: NDArray[np.bool_], margin: float, seed: int = 0) -> Pooled:
    """Return the means over readers of scores (readers, images): above 0 says synthetic, the more the surer.

    Both kinds of image must be there, and no score missing.
    """
    need_margin(margin)
    right = ((scores > 0) == synthetic).astype(float)
    high, low = scores[:, synthetic, None], scores[:, None, ~synthetic]
    wins = (high > low) + 0.5 * (high == low)  # (readers, synthetic, real)
    kinds = right[:, synthetic], right[:, ~synthetic]
    random, accuracies, aucs = np.random.default_rng(seed), [], []
    chunk = max(1, min(DRAWS, CELLS // wins[0].size))
    for start in range(0, DRAWS, chunk):
        size = min(chunk, DRAWS - start)
        readers, some, others = (_drawn(random, n, size) for n in wins.shape)
        shares = [((readers @ table) * by).sum(1) for table, by in zip(kinds, (some, others), strict=True)]
        accuracies.append((shares[0] * len(kinds[0][0]) + shares[1] * len(kinds[1][0])) / len(synthetic))
        of_pairs = (readers @ wins.reshape(len(wins), -1)).reshape(size, *wins.shape[1:])
        aucs.append(np.einsum("dsr,ds,dr->d", of_pairs, some, others))
    drawn = np.concatenate(accuracies)
    p_value = float(1 + max((drawn <= 0.5 - margin).sum(), (drawn >= 0.5 + margin).sum())) / (DRAWS + 1)
    return Pooled(
        float(right.mean()),
        _interval(drawn),
        float(wins.mean()),
        _interval(np.concatenate(aucs)),
        p_value,
        p_value <= ALPHA,
    )


def _drawn(random: np.random.Generator, n: int, size: int) -> Values:
    """Return (size, n) weights that add up to 1: how often each of n was drawn."""
    return random.multinomial(n, np.full(n, 1 / n), size) / n


def _interval(draws: Values) -> tuple[float, float]:
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)
