"""Does a segmenter, which has seen neither the sample nor the held-out cases, find the mask in the image?

Where mask and image differ in one place, that place is ignored (a voxel weight of 0) and the rest is kept.
What remains is compared with the segmenter's own Dice on unseen real cases that are as difficult: labelled
volume decides about that, before any segmenter is asked. So small structures are not judged by large ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medunet.config.gate import GateSettings
from medunet.config.samples import Check
from medunet.errors import ConfigError

Labels = NDArray[np.uint8]
FEWEST = 3  # real cases with a label in a bin; with fewer, those of all bins are taken
LEAST = 0.3  # Dice on real cases: who finds less of a label there cannot say whether it is in a sample


@dataclass(frozen=True)
class Agreement:
    """A mask beside a segmenter's."""

    dice: NDArray[np.float64]  # (labels,) without background, of the voxels that count; NaN: in neither mask
    ignored: float  # of the labelled voxels of either mask
    weights: Labels | None  # (X, Y[, Z]) 1 learn, 0 ignore; None: all count
    share: float  # labelled voxels over all: the smaller, the more difficult


@dataclass(frozen=True)
class Yardstick:
    """The segmenter's Dice on unseen real cases, by difficulty."""

    edges: NDArray[np.float64]  # (bins - 1,) labelled shares between the bins
    dice: NDArray[np.float64]  # (bins, labels)
    ignored: float  # share that nine in ten cases keep to: a weak segmenter is unsure of more
    overall: NDArray[np.float64]  # (labels,) mean Dice over all bins

    @classmethod
    def of(cls, real: Sequence[Agreement], bins: int) -> Yardstick:
        """Learn from unseen real cases; bins hold equally many. ConfigError: there are none."""
        if not real:
            raise ConfigError(
                "agreement: the generator's fold holds out no real case to measure the segmenter on. "
                "Leave --segmenter out, or train the generator on a fold that holds out some."
            )
        shares, table = np.array([one.share for one in real]), np.stack([one.dice for one in real])
        edges = np.quantile(shares, np.arange(1, bins) / bins)
        which = np.searchsorted(edges, shares)
        overall = _means(table)
        rows = []
        for number in range(bins):
            mine = table[which == number]
            enough = (~np.isnan(mine)).sum(0) >= FEWEST
            rows.append(np.where(enough, _means(mine), overall))
        return cls(edges, np.stack(rows), float(np.quantile([one.ignored for one in real], 0.9)), overall)

    def check_able(self, names: Sequence[str]) -> None:
        """Raise a ConfigError if the segmenter finds too little of a label on real cases to judge samples."""
        weak = [f"{name} (Dice {d:.2f})" for name, d in zip(names, self.overall, strict=True) if d < LEAST]
        if weak:
            raise ConfigError(
                f"--segmenter: finds too little of {', '.join(weak)} on unseen real cases, expected a Dice "
                f"of at least {LEAST}: it cannot judge samples. Train it longer, or leave --segmenter out."
            )

    def bin_of(self, one: Agreement) -> int:
        """Return the bin of difficulty; 0 is the hardest."""
        return int(np.searchsorted(self.edges, one.share))

    def relative(self, one: Agreement) -> NDArray[np.float64]:
        """Return Dice over the real Dice per label; NaN where there is nothing to compare.

        In a bin where the segmenter is no judge, at least `LEAST` counts as its Dice.
        """
        return np.asarray(one.dice / np.maximum(self.dice[self.bin_of(one)], LEAST))


def compare(mask: Labels, predicted: Labels, labels: int, *, local: bool = True) -> Agreement:
    """Return how two masks (X, Y[, Z]) of network outputs below `labels` agree.

    local: give weight 0 to places where they differ by more than a rim, and leave them out of the Dice. A
    label of the mask that is wholly left out has Dice 0.
    """
    union = (mask > 0) | (predicted > 0)
    share = float((mask > 0).mean())
    if not local:
        return Agreement(_dice(mask, predicted, labels, None), 0.0, None, share)
    wrong = thick(mask != predicted)
    kept = ~wrong
    ignored = float((wrong & union).sum() / max(1, union.sum()))
    weights = kept.astype(np.uint8) if wrong.any() else None
    dice = _dice(mask, predicted, labels, kept)
    there = np.bincount(mask.ravel(), minlength=labels)[1:labels] > 0
    return Agreement(np.where(there, np.nan_to_num(dice), dice), ignored, weights, share)


def thick(differs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the parts of a difference that are more than a rim of two voxels, one voxel wider."""
    box = np.ones((3,) * differs.ndim, bool)
    core = ndimage.binary_opening(differs, box)
    return np.asarray(ndimage.binary_dilation(core, box) & differs)


def judge(
    found: Sequence[Agreement], real: Yardstick, names: Sequence[str], settings: GateSettings
) -> list[Check]:
    """Return the check of each sample.

    A sample passes with `agreement` of the real Dice in every label; or, among the best `best_share` of its
    bin of difficulty, with `agreement_least` of it. No more than `ignored` of its labelled voxels may be
    ignored, or as much as in real cases.
    """
    relative = [real.relative(one) for one in found]
    worst = np.array([np.nanmin(row) if not np.isnan(row).all() else np.nan for row in relative])
    which = np.array([real.bin_of(one) for one in found])
    limits = np.full(len(found), settings.agreement)
    for number in range(len(real.dice)):
        mine = np.flatnonzero((which == number) & ~np.isnan(worst))
        best = mine[np.argsort(-worst[mine], kind="stable")][: round(settings.best_share * len(mine))]
        limits[best] = settings.agreement_least
    return [
        _check(one, row, float(limit), real.bin_of(one), names, max(settings.ignored, real.ignored))
        for one, row, limit in zip(found, relative, limits, strict=True)
    ]


def _check(
    one: Agreement,
    relative: NDArray[np.float64],
    limit: float,
    which: int,
    names: Sequence[str],
    most: float,
) -> Check:
    known = not np.isnan(relative).all()
    label = int(np.nanargmin(relative)) if known else 0
    number = round(float(relative[label]), 4) if known else None
    if one.ignored > most:
        reason = f"{one.ignored:.0%} of the labelled voxels differ by more than a rim, expected at most "
        reason += f"{most:.0%}"
        return Check(name="agreement", passed=False, number=number, limit=limit, reason=reason)
    if number is None:
        reason = "no label in either mask" if np.isnan(one.dice).all() else "no real case has these labels"
        return Check(name="agreement", passed=True, number=None, limit=limit, reason=reason)
    reason = f"{names[label]}: Dice {one.dice[label]:.3f} with the segmenter's mask is {number:.2f} of that "
    reason += f"on unseen real cases in bin {which} of difficulty; {one.ignored:.1%} ignored"
    return Check(name="agreement", passed=number >= limit, number=number, limit=limit, reason=reason)


def _dice(
    mask: Labels, predicted: Labels, labels: int, kept: NDArray[np.bool_] | None
) -> NDArray[np.float64]:
    if kept is not None:
        mask, predicted = mask[kept], predicted[kept]
    of_mask, of_other, of_both = (
        np.bincount(values.ravel(), minlength=labels)[1:labels].astype(float)
        for values in (mask, predicted, np.where(mask == predicted, mask, 0))
    )
    total = of_mask + of_other
    return np.divide(2 * of_both, total, out=np.full(labels - 1, np.nan), where=total > 0)


def _means(table: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(table)
    total = np.where(known, table, 0).sum(0)
    return np.divide(total, known.sum(0), out=np.full(table.shape[1], np.nan), where=known.any(0))
