"""Examples in docstrings and pages are true, and the files that pages name exist."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITH_EXAMPLES = [
    p for p in sorted((ROOT / "medunet").rglob("*.py")) if ">>> " in p.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_examples_of(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_there_are_examples_where_conventions_matter() -> None:
    assert "geometry" in {path.stem for path in WITH_EXAMPLES}


PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*/*.md"))
    if path.parent.name in ("docs", "datasets", "pipelines", "dashboards", "benchmarks", "mlflow", ROOT.name)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page(page: Path) -> None:
    assert doctest.testfile(str(page), module_relative=False).failed == 0
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link
    for place in re.findall(r"`((?:medunet|pipelines|datasets|tests|docs|benchmarks|mlflow)/[\w./]+)`", text):
        assert (ROOT / place).exists() or place in WRITTEN_BY_USE, place


def test_the_geometry_page_has_examples() -> None:
    assert doctest.testfile(str(ROOT / "docs/geometry.md"), module_relative=False).attempted > 5


@pytest.mark.parametrize("kind", ["datasets", "pipelines"])
def test_every_card_and_recipe_is_on_its_page(kind: str) -> None:
    text = (ROOT / kind / "README.md").read_text(encoding="utf-8")
    assert [p.stem for p in sorted((ROOT / kind).glob("*.yaml")) if f"`{p.stem}" not in text] == []


GROUPS = "(?:studies |review (?:audit |user |study )?)?"


def test_a_command_on_a_page_exists() -> None:
    code = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "medunet/cli").glob("*.py"))
    known = set(re.findall(r"^def ([a-z]+)\(", code, re.MULTILINE))
    known |= set(re.findall(r'(?:name=|command\()"([a-z]+)"', code))  # groups, and what Python has a word for
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for verb in re.findall(rf"^medunet {GROUPS}([a-z]+)", text, re.MULTILINE):
            assert verb in known, f"{page}: medunet {verb}"


WRITTEN_BY_USE = {"mlflow/mlflow.db", "mlflow/artifacts/"}
