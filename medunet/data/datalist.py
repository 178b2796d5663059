"""Check a configuration file by what it seems to be: a recipe, a card, or a list of cases."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from medunet.config.base import parse
from medunet.config.card import Card
from medunet.config.load import load_card, read_yaml
from medunet.config.recipe import Recipe, Training
from medunet.data.findings import Finding
from medunet.errors import ConfigError

LISTS = ("training", "validation", "test", "testing")
SHOWN = 20  # missing files that are named


def check_config(path: Path) -> tuple[Finding, ...]:
    """Return what is wrong with a JSON or YAML file; nothing if it can be used."""
    try:
        said = read_yaml(path)
        if isinstance(said, dict) and any(isinstance(said.get(key), list) for key in LISTS):
            return tuple(Finding.of("config", path, text) for text in missing_files(said, path.parent))
        _check_record(path, said)
    except ConfigError as error:
        return (Finding.of("config", path, str(error)),)
    return ()


def missing_files(said: Any, root: Path) -> list[str]:
    """Return a sentence for every file that a list of cases names and that is not there."""
    lost = [name for name in _listed(said) if not _is_file(root / name)]
    more = [f"and {len(lost) - SHOWN} more files are not there"] if len(lost) > SHOWN else []
    return [f"{name}: listed, but there is no such file below {root}" for name in lost[:SHOWN]] + more


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than any file's
        return False


def _listed(said: Any) -> Iterator[str]:
    for key in LISTS:
        entries = said.get(key) if isinstance(said, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            values = entry.values() if isinstance(entry, dict) else [entry]
            yield from (value for value in values if isinstance(value, str))


def _check_record(path: Path, said: Any) -> None:
    """Raise ConfigError unless the mapping is a recipe or a card."""
    if not isinstance(said, dict):
        parse(Recipe, said, where=str(path))
    records: list[type[BaseModel]] = [Recipe, Card]
    own = {record: set(record.model_fields) - {"name"} for record in records}
    best = max(records, key=lambda record: len(own[record] & set(said)))
    if not own[best] & set(said):
        near = [hint for key in said for hint in _alike(str(key))]
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"{path}: unknown keys {sorted(map(str, said))}; expected a recipe (card, training ...), a "
            f"card (layout, labels ...) or a list of cases (training: [{{image, label}}]).{hint}"
        )
    record = parse(best, said, where=str(path))
    if isinstance(record, Recipe):
        load_card(record.card, near=path)


def _alike(key: str) -> list[str]:
    known = {name: name for name in (*Recipe.model_fields, *Card.model_fields)}
    known |= {name: f"training.{name}" for name in Training.model_fields}
    return [known[name] for name in difflib.get_close_matches(key, known, n=1, cutoff=0.8)]
