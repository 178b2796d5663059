"""Closed, frozen records; all their problems told at once in one format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from medunet.errors import ConfigError


class Record(BaseModel):
    """A piece of configuration: unknown keys are refused, values do not change."""

    # Numbers are parsed leniently on purpose: YAML 1.1 reads 1e-3 as a string.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


R = TypeVar("R", bound=BaseModel)


def parse(record: type[R], values: object, *, where: str) -> R:
    """Return `values` as a record, or raise one ConfigError that lists every problem with its dotted key."""
    if not isinstance(values, Mapping):
        found = "nothing" if values is None else type(values).__name__
        raise ConfigError(f"{where}: expected `key: value` lines, found {found}. Write one key a line.")
    try:
        return record.model_validate(values)
    except ValidationError as error:
        lines = [_line(record, dict(problem)) for problem in error.errors()]
        raise ConfigError(f"{where}: {len(lines)} problem(s)\n  " + "\n  ".join(lines)) from None


def _line(record: type[BaseModel], problem: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "(whole file)"
    value = problem["input"]
    if problem["type"] == "missing":
        return f"{key}: missing; add this key"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        owner = _owner(record, problem["loc"][:-1])
        known = f"; known keys here: {', '.join(owner.model_fields)}" if owner else ""
        message = f"unknown key{known}"
    shown = repr(value)
    return f"{key}: {message} (got {shown if len(shown) <= 80 else shown[:77] + '...'})"


def _owner(record: type[BaseModel], path: tuple[Any, ...]) -> type[BaseModel] | None:
    """Return the record that a key's path leads to, so that its known keys can be named."""
    owner: type[BaseModel] | None = record
    for part in path:
        field = owner.model_fields.get(str(part)) if owner else None
        if field is not None:
            owner = _record_in(field.annotation)
        # a list index or a mapping's key stays with the record of its elements
    return owner


def _record_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_record_in(inner) for inner in get_args(annotation))
    return next((inner for inner in found if inner), None)
