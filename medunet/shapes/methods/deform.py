"""A training mask bent by a diffeomorphism: the same parts in the same order, of another build."""

from __future__ import annotations

import numpy as np

from medunet.shapes.bend import Bend, bent
from medunet.shapes.family import Family, NewMask
from medunet.shapes.repair import EVERY_FACT

JUDGED_BY = EVERY_FACT


class Options(Bend):
    """How far space is changed, and how smooth borders are."""


def draw(options: Options, family: Family, generator: np.random.Generator) -> NewMask:
    """Return a source, bent."""
    index = family.draw(generator)
    mask, facts = bent(index, options, family, generator)
    return NewMask(mask, (family.sources[index].identity,), facts)
