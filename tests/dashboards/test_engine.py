"""The viewer's engine, in its own language: `node --test`."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

VIEWER = Path(__file__).parents[2] / "dashboards" / "viewer"


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_the_engine_passes_its_tests() -> None:
    files = sorted(str(path) for path in (VIEWER / "test").glob("*.test.js"))
    assert files
    found = subprocess.run(
        ["node", "--test", *files], capture_output=True, text=True, timeout=300, check=False
    )
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-2000:]
