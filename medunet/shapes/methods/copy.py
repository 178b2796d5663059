"""A training mask as it is: for new images of known shapes only, since it tells where its patient is."""

from __future__ import annotations

import numpy as np

from medunet.config.base import Record
from medunet.shapes.family import Family, NewMask

JUDGED_BY = None


class Options(Record):
    """Nothing to choose."""


def draw(options: Options, family: Family, generator: np.random.Generator) -> NewMask:  # noqa: ARG001
    """Return a source in the frame, at a place drawn at random."""
    index = family.draw(generator)
    first = family.window(index, generator)
    return NewMask(family.cut(index, first), (family.sources[index].identity,), {"first_voxel": list(first)})
