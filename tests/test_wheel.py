"""A wheel built from the tree is complete: every module, card and recipe, and it runs from where it lies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "README.md", "medunet", "datasets", "pipelines", "dashboards")


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    found = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built without network from a copy of the sources (a build writes into its source folder)."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules")
            )
        else:
            shutil.copy(ROOT / name, source / name)
    build = ("wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", "out")
    run(sys.executable, "-m", "pip", *build, cwd=source)
    (built,) = (source / "out").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the unpacked wheel and nothing of the tree."""
    target = tmp_path_factory.mktemp("site")
    install = ("install", "--no-deps", "--no-index", "--quiet", "--target", str(target), str(wheel))
    run(sys.executable, "-m", "pip", *install, cwd=target)
    return target


@pytest.mark.slow
def test_the_wheel_holds_every_module_card_and_recipe(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    kept = [p for p in (ROOT / "medunet").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    expected = {p.relative_to(ROOT).as_posix() for p in kept}
    expected |= {
        f"medunet/shipped/{p.parent.name}/{p.name}"
        for kind in ("datasets", "pipelines")
        for p in (ROOT / kind).glob("*.yaml")
    }
    web = [ROOT / "dashboards" / kind for kind in ("", "pages", "routes")]
    expected |= {f"medunet/shipped/{p.relative_to(ROOT).as_posix()}" for at in web for p in at.glob("*.py")}
    served = [ROOT / "dashboards" / kind for kind in ("assets", "viewer/dist")]
    expected |= {f"medunet/shipped/{p.relative_to(ROOT).as_posix()}" for at in served for p in at.iterdir()}
    assert expected - names == set(), "name the folder in pyproject.toml, [tool.setuptools] packages"
    assert any(name.startswith("medunet/shipped/datasets/") for name in names)
    assert any(name.startswith("medunet/shipped/pipelines/") for name in names)


@pytest.mark.slow
def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"medunet"}


@pytest.mark.slow
def test_the_command_runs_from_the_wheel(site: Path, tmp_path: Path) -> None:
    found = run(sys.executable, "-m", "medunet", "--help", cwd=tmp_path, PYTHONPATH=str(site))
    for verb in ("doctor", "check", "prepare", "train", "evaluate", "predict", "demo"):
        assert verb in found.stdout


@pytest.mark.slow
def test_every_shipped_card_and_recipe_loads_from_the_wheel(site: Path, tmp_path: Path) -> None:
    code = (
        "import medunet, sys\n"
        "from medunet.config.load import load_any_recipe, load_card, shipped\n"
        "print(medunet.__file__)\n"
        "for path in shipped('datasets').glob('*.yaml'): print('card', load_card(path.stem).name)\n"
        "for path in shipped('pipelines').glob('*.yaml'): print('recipe', load_any_recipe(path.stem).name)\n"
    )
    found = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(site)).stdout.splitlines()
    assert Path(found[0]).is_relative_to(site)
    assert sum(line.startswith("card ") for line in found) == len(list((ROOT / "datasets").glob("*.yaml")))
    assert sum(line.startswith("recipe ") for line in found) == len(list((ROOT / "pipelines").glob("*.yaml")))
