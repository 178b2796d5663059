"""A segmenter as the gate's judge: its masks of samples, beside its masks of unseen real cases."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medunet.config.card import Card
from medunet.config.run import RunFolder
from medunet.data.fingerprint import read_pair
from medunet.data.preprocess import to_outputs
from medunet.gate.agreement import Agreement, Yardstick, compare
from medunet.io.volume import Volume
from medunet.workflows.admit_ground import WEIGHTS, Ground, check_segmenter
from medunet.workflows.progress import progress

EACH = 2  # windows of an unseen real case
MOST = 200  # windows in all


@dataclass(frozen=True)
class Judge:
    """A segmenter that knows no held-out case, and how it does on these."""

    predict: Callable[[Volume], NDArray[np.uint8]]  # image -> label values of the card
    card: Card
    weights_sha256: str  # of all its folds

    @classmethod
    def load(cls, run: RunFolder, ground: Ground, device: str | None) -> Judge:
        """Load the segmenter; ConfigError if it has learnt from a held-out case of the generator."""
        from medunet.tasks.segment import Segmenter  # torch is loaded only when a network has to run

        check_segmenter(run, ground)
        weights = b"".join((run.fold(fold) / WEIGHTS).read_bytes() for fold in run.trained)
        segmenter = Segmenter.load(run, device=device, folds=run.trained, backend="torch")
        return cls(segmenter.predict, run.card, hashlib.sha256(weights).hexdigest())

    def agreement(self, image: Volume, mask: NDArray[np.uint8]) -> Agreement:
        """Return how the judge's mask of an image agrees with another (X, Y[, Z], label values)."""
        predicted = to_outputs(self.predict(image), self.card)
        return compare(to_outputs(mask, self.card), predicted, len(self.card.labels) + 1)

    def yardstick(self, ground: Ground, window: Sequence[int], bins: int) -> Yardstick:
        """Return how the judge does on windows of unseen real cases that are as large as the samples.

        ConfigError: there is none, or the judge is too weak for one of the labels.
        """
        random = np.random.default_rng(0)
        cases = ground.unseen[:MOST]
        each = max(1, min(EACH, MOST // max(1, len(cases))))
        found = []
        with progress("Asking the segmenter about unseen real cases", len(cases)) as bar:
            for case in cases:
                image, mask = read_pair(ground.cases[case], ground.run.card)
                for _ in range(each):
                    box = _window(mask.array, window, image.spacing_mm, ground.run.plan.spacing_mm, random)
                    part = replace(image, array=np.ascontiguousarray(image.array[(slice(None), *box)]))
                    found.append(self.agreement(part, np.ascontiguousarray(mask.array[box])))
                bar.advance()
        known = Yardstick.of(found, bins)
        known.check_able(ground.run.card.label_names)
        return known


def _window(
    mask: NDArray[np.uint8],
    window: Sequence[int],
    spacing_mm: Sequence[float],
    wanted_mm: Sequence[float],
    random: np.random.Generator,
) -> tuple[slice, ...]:
    """Return a box as large as the samples, around a labelled voxel where there is one."""
    size = [
        min(n, max(1, round(m * to / edge)))
        for n, m, edge, to in zip(mask.shape, window, spacing_mm, wanted_mm, strict=True)
    ]
    labelled = np.flatnonzero(mask)
    at = int(random.choice(labelled)) if len(labelled) else int(random.integers(mask.size))
    centre = np.unravel_index(at, mask.shape)
    first = [int(np.clip(c - m // 2, 0, n - m)) for c, m, n in zip(centre, size, mask.shape, strict=True)]
    return tuple(slice(a, a + m) for a, m in zip(first, size, strict=True))
