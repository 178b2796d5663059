"""How well the generator's loss tells its training cases from unseen ones."""

from __future__ import annotations

import numpy as np

from medunet.gate.membership import Membership, membership
from medunet.workflows.admit_ground import Ground

MOST = 60  # cases of either kind: half a minute of a small network; the interval says what that is worth
FEWEST = 5  # of either kind, for an area at all


def membership_of(ground: Ground, device: str | None) -> Membership | None:
    """Return the AUC of the loss gap; None where a fold holds too few cases to say anything."""
    random = np.random.default_rng(0)
    chosen = [
        sorted(random.permutation(list(cases))[:MOST].tolist()) for cases in (ground.training, ground.unseen)
    ]
    if min(map(len, chosen)) < FEWEST:
        return None
    from medunet.tasks.generate import Generator
    from medunet.tasks.synthesize import DenoisingError

    generator = Generator.load(ground.run, fold=ground.fold, device=device)
    losses = []
    for cases in chosen:
        entries = [ground.entries[case] for case in cases]
        codes = np.full((len(entries), len(generator.learnt.attributes)), np.nan, np.float32)
        error = DenoisingError(
            entries, codes, ground.run.generator, ground.run.plan, generator.device, generator.space
        )
        losses.append(error.of_cases(generator.network))
    return membership(*losses)
