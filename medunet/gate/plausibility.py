"""Could this be the mask of a patient, and is it a new one?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medunet.config.samples import Check
from medunet.shapes.novelty import Gallery
from medunet.shapes.repair import Rules, problems

Labels = NDArray[np.uint8]
SHOWN = 3  # faults that a reason names


def plausibility(mask: Labels, rules: Rules, spacing_mm: Sequence[float]) -> Check:
    """Return the check of a mask (X, Y[, Z]) against what all training masks have in common."""
    faults = problems(mask, rules, spacing_mm)
    more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    reason = "; ".join(faults[:SHOWN]) + more if faults else "as training masks are"
    return Check(name="plausibility", passed=not faults, number=float(len(faults)), limit=0.0, reason=reason)


def novelty(mask: Labels, gallery: Gallery, limit: float, *, copied: bool) -> Check:
    """Return the check that a mask is no nearer to a training mask than real masks are to each other.

    copied: the set was made for the masks of training cases; then the number is told, and condemns nothing.
    """
    found = gallery.novelty(mask)
    passed = copied or found >= limit
    reason = f"Dice {1 - found:.3f} with the nearest training mask, expected at most {1 - limit:.3f}"
    if copied:
        reason += "; the masks of this set were copied on purpose"
    return Check(name="novelty", passed=passed, number=round(found, 4), limit=round(limit, 4), reason=reason)
