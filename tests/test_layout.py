"""The tree is the designed one: top level, file sizes, folders without Python, tests that mirror rooms."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP = {
    "medunet", "pipelines", "dashboards", "datasets", "mlflow", "tests", "docs", "benchmarks", ".ci",
    "README.md", "Makefile", "CHANGELOG.md", "constraints.txt", "pyproject.toml",
    ".pre-commit-config.yaml", ".gitignore",
}  # fmt: skip
MADE_HERE = {
    ".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache", "__pycache__",
    "build", "dist", "medunet.egg-info", "runs", "cache", "review", "demo", "studies", "synthetic", "keys",
    "dose_response",
}  # fmt: skip
IMPORT_NAMES = {
    "simpleitk": "SimpleITK",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "pyjpegls": "jpeg_ls",
    "scikit-learn": "sklearn",
    "dicom-anonymizer": "dicomanonymizer",
    "scikit-image": "skimage",
    "argon2-cffi": "argon2",
}
LONGEST_FILE = 300
LONGEST_PIPELINE = 80


def faults_of_top(root: Path) -> list[str]:
    found = {path.name for path in root.iterdir()} - MADE_HERE
    return [f"not in the design: {name}" for name in sorted(found - TOP)] + [
        f"missing: {name}" for name in sorted(TOP - found)
    ]


def faults_of_folders_without_python(root: Path) -> list[str]:
    """Return Python in `mlflow/` and `datasets/`: an `__init__.py` there would hide the real package."""
    kept = [p for name in ("mlflow", "datasets") for p in (root / name).rglob("*.py")]
    return [str(p.relative_to(root)) for p in kept if "artifacts" not in p.parts]


def faults_of_length(root: Path) -> list[str]:
    faults = []
    for folder, limit in (
        ("medunet", LONGEST_FILE),
        ("dashboards", LONGEST_FILE),
        ("pipelines", LONGEST_PIPELINE),
    ):
        for path in (root / folder).rglob("*.py"):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > limit:
                faults.append(f"{path.relative_to(root)}: {lines} lines, at most {limit}")
    return faults


def faults_of_mirror(root: Path) -> list[str]:
    """Return test folders without a room, and modules that neither a test nor a sibling of their room names.

    Where a room finds its files by name (`names()`), its contract test covers them all.
    """
    rooms = {path.parent.name for path in (root / "medunet").glob("*/__init__.py")}
    tested = {path.parent.name for path in (root / "tests").glob("*/test_*.py")} - {"browser", "dashboards"}
    faults = [f"tests/{name}: no room medunet/{name}" for name in sorted(tested - rooms)]
    for room in sorted(rooms):
        tests = {path.name: path.read_text(encoding="utf-8") for path in (root / "tests" / room).glob("*.py")}
        code = {p.stem: p.read_text(encoding="utf-8") for p in (root / "medunet" / room).glob("*.py")}
        by_name = "def names(" in code["__init__"] and any("names()" in text for text in tests.values())
        for module in sorted(code.keys() - {"__init__"}):
            siblings = [text for name, text in code.items() if name != module]
            named = re.compile(rf"medunet\.{room}(\.{module}\b|[^\n]* import [^\n]*\b{module}\b)")
            known = any(named.search(text) for text in [*tests.values(), *siblings])
            if not (known or by_name or f"test_{module}.py" in tests):
                faults.append(f"medunet/{room}/{module}.py: no test in tests/{room} names it")
    return faults


CHECKS = [faults_of_top, faults_of_folders_without_python, faults_of_length, faults_of_mirror]


@pytest.mark.parametrize("check", CHECKS)
def test_the_tree_has_no(check) -> None:
    assert check(ROOT) == []


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A faultless small tree."""
    for name in TOP:
        if "." in name[1:] or name in ("Makefile", ".gitignore"):
            (tmp_path / name).write_text("", encoding="utf-8")
        else:
            (tmp_path / name).mkdir()
    for place in ("medunet/io/__init__.py", "medunet/io/read.py", "tests/io/test_read.py"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text("", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("place", "lines", "check"),
    [
        ("utils.py", 1, faults_of_top),
        ("mlflow/__init__.py", 1, faults_of_folders_without_python),
        ("datasets/spleen.py", 1, faults_of_folders_without_python),
        ("medunet/io/read.py", 301, faults_of_length),
        ("pipelines/compare.py", 81, faults_of_length),
        ("medunet/io/write.py", 1, faults_of_mirror),
        ("tests/engines/test_loop.py", 1, faults_of_mirror),
    ],
)
def test_a_planted_fault_is_found(tree: Path, place: str, lines: int, check) -> None:
    assert [fault for each in CHECKS for fault in each(tree)] == []
    (tree / place).parent.mkdir(exist_ok=True)
    (tree / place).write_text("# x\n" * lines, encoding="utf-8")
    assert len(check(tree)) == 1


def test_mlflow_is_the_installed_package_and_not_our_folder() -> None:
    spec = importlib.util.find_spec("mlflow")
    assert spec is not None
    assert spec.origin is not None  # None: an empty namespace, the package itself is missing
    assert not Path(spec.origin).is_relative_to(ROOT / "mlflow")


def imported(path: Path) -> set[str]:
    """Return the top-level names that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").split(".")[0])
    return names


def test_every_import_is_a_declared_dependency() -> None:
    """A package that only comes along with another one may be gone tomorrow; `datasets` is never imported."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [
        text for name, texts in project["optional-dependencies"].items() if name != "dev" for text in texts
    ]
    declared = {re.split(r"[^A-Za-z0-9_-]", text)[0].lower() for text in project["dependencies"] + extras}
    declared = {IMPORT_NAMES.get(name, name) for name in declared} | {"medunet"} | sys.stdlib_module_names
    declared |= {"dashboards"}
    files = [path for room in ("medunet", "dashboards") for path in (ROOT / room).rglob("*.py")]
    found = {path: imported(path) - declared for path in files}
    assert {str(path): names for path, names in found.items() if names} == {}


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [text for texts in project["optional-dependencies"].values() for text in texts]
    wanted += project["dependencies"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line}
    assert {re.split(r"[^A-Za-z0-9_-]", text)[0].lower() for text in wanted} - pinned == set()


def test_every_module_says_what_it_is_for() -> None:
    modules = [p for p in (ROOT / "medunet").rglob("*.py") if p.name != "__init__.py"]
    assert [p for p in modules if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))] == []
