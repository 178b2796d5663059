"""Requests outside what the generator has been trained on, each with the nearest that is inside."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import NamedTuple

from medunet.config.attributes import Attribute, Value

ROUNDING = 1e-6


class Outside(NamedTuple):
    """A part of a request that cannot be kept to."""

    what: str
    found: Value
    nearest: Value | None  # None: the generator does not know this attribute
    words: str


def outside(request: Mapping[str, Value], attributes: Sequence[Attribute]) -> list[Outside]:
    """Return what of a request lies outside the training hull; empty: it can be met.

    Spacing and labelled volumes are attributes like others: numbers from `low` to `high`.
    """
    known = {attribute.name: attribute for attribute in attributes}
    found = []
    for name, value in request.items():
        if name not in known:
            words = f"{name}: not an attribute of this generator; it knows {', '.join(known) or 'none'}"
            found.append(Outside(name, value, None, words))
        elif problem := _outside(known[name], value):
            found.append(problem)
    return found


def _outside(attribute: Attribute, value: Value) -> Outside | None:
    if attribute.values:
        return _not_among(attribute, str(value))
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    low = float("-inf") if attribute.low is None else attribute.low
    high = float("inf") if attribute.high is None else attribute.high
    room = ROUNDING * max(1.0, abs(number))
    if isfinite(number) and low - room <= number <= high + room:
        return None
    nearest = min(max(number, low), high)
    nearest = nearest if isfinite(nearest) else attribute.mean
    words = f"{attribute.name}: found {value}, expected {low:g} to {high:g} as in training"
    return Outside(attribute.name, value, nearest, f"{words}; the nearest is {nearest:g}")


def _not_among(attribute: Attribute, value: str) -> Outside | None:
    if value in attribute.values:
        return None
    by_case = {known.casefold(): known for known in attribute.values}
    close = difflib.get_close_matches(value.casefold(), by_case, 1, cutoff=0.0)
    nearest = by_case[close[0]]
    words = f"{attribute.name}: found {value}, expected one of {', '.join(attribute.values)}"
    return Outside(attribute.name, value, nearest, f"{words}; the nearest is {nearest}")
