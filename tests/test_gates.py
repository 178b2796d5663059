"""Every gate of `make check` lets a clean tree pass and stops a planted fault, under our own settings."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FUTURE = "from __future__ import annotations\n\n"


def run(tree: Path, gate: str) -> subprocess.CompletedProcess[str]:
    """Run one gate of the Makefile on a tree, with the tools of this environment."""
    command = ["make", "--no-print-directory", "-C", str(tree), gate, f"BIN={BIN}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def plant(tree: Path, place: str, text: str) -> None:
    path = tree / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clean tree: our settings, and one empty package per room that the layer contracts name."""
    for name in ("pyproject.toml", "Makefile", ".gitignore", ".pre-commit-config.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    contracts = SETTINGS["tool"]["importlinter"]["contracts"]
    for contract in (c for c in contracts if c["type"] == "layers"):
        folder = contract["containers"][0].replace(".", "/")
        for room in {part.strip() for layer in contract["layers"] for part in re.split("[|:]", layer)}:
            if not room.startswith("("):
                plant(tmp_path, f"{folder}/{room}/__init__.py", f'"""The room {room}."""\n')
    plant(tmp_path, "dashboards/__init__.py", '"""Nothing."""\n')
    plant(tmp_path, "medunet/__init__.py", '"""A tree to plant faults in."""\n\n__version__ = "0"\n')
    for name in ("networks/__init__", "networks/one", "networks/two"):
        plant(tmp_path, f"medunet/models/{name}.py", '"""Nothing."""\n')
    return tmp_path


@pytest.mark.parametrize("gate", ["format", "lint", "types", "layers", "spelling"])
def test_a_clean_tree_passes(tree: Path, gate: str) -> None:
    if gate == "layers":  # what only one room may import, in that room
        plant(tree, "medunet/engine/tracking.py", '"""Tracking."""\n\nimport mlflow\n')
        plant(tree, "medunet/io/formats/nifti.py", '"""NIfTI."""\n\nimport nibabel\n')
    found = run(tree, gate)
    assert found.returncode == 0, found.stdout + found.stderr


def test_check_and_test_run_every_gate() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^gates: format lint types layers spelling$", text, re.MULTILINE)
    assert re.search(r"^check: setup gates", text, re.MULTILINE)
    assert re.search(r"^test: setup gates", text, re.MULTILINE)


def test_format_stops_a_crooked_file(tree: Path) -> None:
    plant(tree, "medunet/data/crooked.py", '"""Crooked."""\n\nx = {  "a":1 }\n')
    found = run(tree, "format")
    assert found.returncode != 0
    assert "make fix" in found.stderr


FAULTS = {
    "T201": 'print("hello")',
    "S307": 'x = eval("1")',
    "S301": "import pickle\n\nx = pickle.loads(b'')",
    "PTH": 'import os\n\nx = os.path.join("a", "b")',
    "BLE001": "try:\n    x = 1\nexcept Exception:\n    x = 2",
    "ERA001": "# x = 1",
    "D103": "def f() -> None:\n    return None",
    "ARG001": "def f(unused: int) -> int:\n    return 1",
    "F401": "import json",
    "PLR0913": "def f(a, b, c, d, e, g, h, i):\n    return a, b, c, d, e, g, h, i",
    "C901": "def f(x):\n    if x == 1:\n        x = 2\n"
    + "".join(f"    if x == {i}:\n        x = 3\n" for i in range(9)),
    "E501": f'x = "{"long " * 30}"',
    "I001": "import sys\nimport json\n\nx = sys, json",
}


@pytest.mark.parametrize("rule", FAULTS)
def test_lint_stops(tree: Path, rule: str) -> None:
    plant(tree, "medunet/data/fault.py", f'"""Fault."""\n\n{FAULTS[rule]}\n')
    found = run(tree, "lint")
    assert found.returncode != 0
    assert rule in found.stdout


def test_lint_knows_mlflow_as_a_foreign_package(tree: Path) -> None:
    (tree / "mlflow").mkdir()
    (tree / "datasets").mkdir()
    imports = "import mlflow\nimport torch\n\nimport medunet"
    text = f'"""Order."""\n\n{imports}\n\n__all__ = ["medunet", "mlflow", "torch"]\n'
    plant(tree, "medunet/engine/tracking.py", text)
    found = run(tree, "lint")
    assert found.returncode == 0, found.stdout


def test_types_stops_an_untyped_function_and_a_wrong_record(tree: Path) -> None:
    untyped = "def twice(x):\n    return 2 * x\n"
    record = "class R(BaseModel):\n    a: int\n    b = 2\n\n\nR(a=1, c=1)\n"
    plant(
        tree,
        "medunet/data/fault.py",
        f'"""Fault."""\n\nfrom pydantic import BaseModel\n\n\n{untyped}\n\n{record}',
    )
    found = run(tree, "types")
    assert found.returncode != 0
    assert "[no-untyped-def]" in found.stdout
    assert 'Unexpected keyword argument "c"' in found.stdout
    assert "[pydantic-field]" in found.stdout


BREACHES = {
    "layers": [
        ("medunet/metrics/fault.py", "import medunet.models"),
        ("medunet/io/fault.py", "import medunet.metrics"),
        ("medunet/engine/fault.py", "import medunet.data"),
        ("medunet/geometry/fault.py", "import medunet.errors"),
        ("medunet/utils.py", ""),
    ],
    "io": [
        ("medunet/io/dicom/fault.py", "import medunet.io.read"),
        ("medunet/io/formats/fault.py", "import medunet.io.dicom"),
        ("medunet/io/fault.py", ""),
    ],
    "light": [
        ("medunet/io/fault.py", "import torch"),
        ("medunet/config/fault.py", "import medunet.errors, monai"),
    ],
    "files": [
        ("medunet/data/fault.py", "import nibabel"),
        ("medunet/workflows/fault.py", "from PIL import Image"),
    ],
    "tracking": [
        ("medunet/workflows/fault.py", "import mlflow"),
        ("medunet/engine/loop.py", "import mlflow"),
    ],
    "networks": [("medunet/models/networks/one.py", "import medunet.models.networks.two")],
}
CONTRACTS = {c["id"]: c["name"] for c in SETTINGS["tool"]["importlinter"]["contracts"]}


def test_every_layer_contract_has_a_breach() -> None:
    assert set(BREACHES) == set(CONTRACTS)


@pytest.mark.parametrize(
    ("contract", "place", "text"), [(name, *breach) for name, all_of in BREACHES.items() for breach in all_of]
)
def test_layers_stops(tree: Path, contract: str, place: str, text: str) -> None:
    plant(tree, place, f'"""Fault."""\n\n{text}\n')
    found = run(tree, "layers")
    assert found.returncode != 0
    assert f"{CONTRACTS[contract]} BROKEN" in " ".join(found.stdout.split())


def test_spelling_stops_a_misspelt_word(tree: Path) -> None:
    plant(tree, "README.md", "We " + "receive".replace("ei", "ie") + " a scan.\n")
    found = run(tree, "spelling")
    assert found.returncode != 0
    assert "receive" in found.stdout


TESTS = {
    "warning": "import warnings\n\n\ndef test() -> None:\n    warnings.warn('old', DeprecationWarning)\n",
    "marker": "import pytest\n\n\n@pytest.mark.unheard_of\ndef test() -> None:\n    assert True\n",
    "network": "import socket\n\n\ndef test() -> None:\n    socket.create_connection(('192.0.2.1', 80), 1)\n",
    "look-up": "import socket\n\n\ndef test() -> None:\n    socket.getaddrinfo('example.org', 80)\n",
    "swallowed": (
        "import contextlib, socket\n\n\ndef test() -> None:\n"
        "    with contextlib.suppress(OSError):\n        socket.create_connection(('192.0.2.1', 80), 1)\n"
    ),
    "shapes": (
        "from medunet.metrics.shapes import same\nimport numpy as np\n\n\ndef test() -> None:\n"
        "    same(np.zeros((2, 1)), np.zeros((2, 3)))\n"
    ),
}
SHAPES = (
    "from __future__ import annotations\nimport numpy as np\nfrom jaxtyping import Float\n\n\ndef same(\n"
    '    a: Float[np.ndarray, "b c"], b: Float[np.ndarray, "b c"]\n) -> Float[np.ndarray, "b c"]:\n'
    "    return a + b\n"
)


@pytest.mark.parametrize("fault", ["none", *TESTS])
def test_the_suite_stops(tree: Path, fault: str) -> None:
    shutil.copytree(
        ROOT / "tests", tree / "tests", ignore=lambda _, names: [n for n in names if n != "conftest.py"]
    )
    plant(tree, "medunet/metrics/shapes.py", SHAPES)
    plant(tree, "tests/test_fault.py", TESTS.get(fault, "def test() -> None:\n    assert True\n"))
    command = [sys.executable, "-m", "pytest", "-q", "tests/test_fault.py"]
    found = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=120, check=False)
    assert (found.returncode == 0) == (fault == "none"), found.stdout + found.stderr


def test_every_pre_commit_hook_has_files_to_check(tree: Path) -> None:
    for command in (["git", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(command, cwd=tree, check=True, capture_output=True)
    command = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
    for hook in ("check-hooks-apply", "check-useless-excludes"):
        found = subprocess.run(
            [*command, hook], cwd=tree, capture_output=True, text=True, timeout=120, check=False
        )
        assert found.returncode == 0, found.stdout + found.stderr
    assert "Passed" in found.stdout
