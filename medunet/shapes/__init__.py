"""New masks from training masks: the label of a synthetic scan is made first, by rule and by chance.

Every try is repaired, then judged by what the training masks have in common; what stays implausible is drawn
again, a limited number of times.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np

from medunet.config.base import Record, parse
from medunet.errors import ConfigError, DataError
from medunet.shapes import methods
from medunet.shapes.family import NewMask, Refused, Source, family_of
from medunet.shapes.repair import problems, repaired

__all__ = ["MAX_TRIES", "NewMask", "Source", "check_options", "make", "names"]

MAX_TRIES = 50


def names() -> tuple[str, ...]:
    """Return the names of all methods, sorted; imports none of them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(methods.__path__)))


def check_options(name: str, options: Mapping[str, Any]) -> Record:
    """Return the options of a method; ConfigError if there is no such method or option."""
    if name not in names():
        there = ", ".join((*names(), "flow"))
        raise ConfigError(f"sampling.masks.method: no method {name!r}; there are {there}.")
    module = import_module(f"{methods.__name__}.{name}")
    found: Record = parse(module.Options, options, where="sampling.masks.options")
    return found


def make(
    name: str,
    options: Mapping[str, Any],
    sources: Sequence[Source],
    shape_voxels: Sequence[int],
    spacing_mm: Sequence[float],
    generator: np.random.Generator,
) -> NewMask:
    """Return a new mask of `shape_voxels` on the grid of the sources; the same generator gives the same mask.

    Rules are learnt from the sources once and kept for as long as the same Source objects are passed.
    Raises ConfigError for an unknown method or option, DataError where MAX_TRIES tries gave no mask.
    """
    chosen, module = check_options(name, options), import_module(f"{methods.__name__}.{name}")
    shape, spacing = tuple(int(n) for n in shape_voxels), tuple(float(mm) for mm in spacing_mm)
    family = family_of(tuple(sources), shape, spacing)
    reasons: dict[str, None] = {}  # a set that keeps its order
    for tried in range(1, MAX_TRIES + 1):
        try:
            new: NewMask = module.draw(chosen, family, generator)
        except Refused as refusal:
            reasons[str(refusal)] = None
            continue
        if module.JUDGED_BY is None:
            return new
        mask = repaired(new.mask, family.rules)
        faults = problems(mask, family.rules, spacing, module.JUDGED_BY)
        if not faults:
            return replace(new, mask=mask, facts=new.facts | {"tries": tried})
        reasons |= dict.fromkeys(faults)
    raise DataError(
        f"new masks by {name}: none of {MAX_TRIES} tries was plausible beside {len(sources)} training masks, "
        f"for: {'; '.join(list(reasons)[:4])}. Choose another method, milder options, or more sources."
    )
