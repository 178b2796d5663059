"""Find and read YAML: cards and recipes by name or path, with `--set key=value` on top."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from medunet.config.base import parse
from medunet.config.card import Card
from medunet.config.generator import GeneratorRecipe
from medunet.config.recipe import Recipe
from medunet.errors import ConfigError

SIZE_LIMIT_BYTES = 1_000_000  # a card has a few kB; anything bigger is not one


def load_recipe(place: str | Path, settings: Sequence[str] = ()) -> Recipe:
    """Return a segmentation recipe from a file or a shipped name, with `key=value` settings applied."""
    found = load_any_recipe(place, settings)
    if isinstance(found, GeneratorRecipe):
        raise ConfigError(
            f"{place}: makes synthetic scans (`task: synthesize`); expected a segmentation recipe."
        )
    return found


def load_generator(place: str | Path, settings: Sequence[str] = ()) -> GeneratorRecipe:
    """Return a generator's recipe from a file or a shipped name, with `key=value` settings applied."""
    found = load_any_recipe(place, settings)
    if not isinstance(found, GeneratorRecipe):
        raise ConfigError(f"{place}: is a segmentation recipe; expected one with `task: synthesize`.")
    return found


def load_any_recipe(place: str | Path, settings: Sequence[str] = ()) -> Recipe | GeneratorRecipe:
    """Return the recipe of a segmenter or, where it says `task: synthesize`, of a generator."""
    values = with_settings(read_yaml(find_yaml(place, "pipelines")), settings)
    return as_recipe(values, where=str(place))


def as_recipe(values: Any, *, where: str) -> Recipe | GeneratorRecipe:
    """Return the record that the `task` key asks for."""
    if isinstance(values, dict) and values.get("task") == "synthesize":
        return parse(GeneratorRecipe, values, where=where)
    return parse(Recipe, values, where=where)


def load_card(place: str | Path, near: Path | None = None) -> Card:
    """Return a card from a file, a file beside `near`, or a shipped name."""
    for beside in (near.parent / str(place), near.parent / f"{place}.yaml") if near is not None else ():
        if beside.is_file() and _is_card(beside):
            place = beside
    return parse(Card, read_yaml(find_yaml(place, "datasets")), where=str(place))


def _is_card(path: Path) -> bool:
    """Say whether a file is meant as a card: a recipe may be called like its card."""
    said = read_yaml(path)
    return isinstance(said, dict) and bool({"labels", "layout"} & set(said))


def find_yaml(place: str | Path, kind: Literal["datasets", "pipelines"]) -> Path:
    """Return the path of a YAML file that was named by path or, for shipped ones, by name."""
    if Path(place).is_file():
        return Path(place)
    folder = shipped(kind)
    name = Path(place).name.removesuffix(".yaml")
    if (folder / f"{name}.yaml").is_file() and Path(place).parent.as_posix() in (".", kind):
        return folder / f"{name}.yaml"
    noun = "card" if kind == "datasets" else "recipe"
    known = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    raise ConfigError(f"{place}: no such {noun}. Give the path of a YAML file, or one of: {known}.")


def shipped(kind: Literal["datasets", "pipelines"]) -> Path:
    """Return the folder of the cards or recipes that come with medunet (checkout or installed wheel)."""
    checkout = Path(__file__).parents[2] / kind
    if checkout.is_dir() and (checkout.parent / "pyproject.toml").is_file():
        return checkout
    return Path(str(resources.files("medunet").joinpath("shipped", kind)))


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML (or JSON) file; ConfigError names the line that is wrong."""
    try:
        if path.stat().st_size > SIZE_LIMIT_BYTES:
            raise ConfigError(f"{path}: {path.stat().st_size} bytes; expected a YAML file below 1 MB.")
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also dates that are none, and bad UTF-8
        raise ConfigError(f"{path}: not readable as YAML: {error}. Correct the file.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None


def write_yaml(path: Path, values: Any) -> None:
    """Write plain values as YAML, keys in their given order."""
    path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")


def with_settings(values: Any, settings: Sequence[str]) -> Any:
    """Return values with every `dotted.key=value` applied; the value is read as YAML."""
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set {setting}: expected key=value, such as training.learning_rate=1e-3.")
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            raise ConfigError(f"--set {setting}: the value is not readable as YAML.") from None
        values = _with_key(values, key.split("."), value)
    return values


def _with_key(values: Any, path: list[str], value: Any) -> dict[str, Any]:
    out: dict[str, Any] = dict(values) if isinstance(values, dict) else {}
    out[path[0]] = value if len(path) == 1 else _with_key(out.get(path[0]), path[1:], value)
    return out
