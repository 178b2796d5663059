from __future__ import annotations

import json
import platform
from pathlib import Path

import torch

from medunet import __version__
from medunet.workflows import origin as module
from medunet.workflows.origin import commit, origin, versions


def test_versions_name_what_decides_results():
    found = versions()
    assert found["medunet"] == __version__
    assert torch.__version__.startswith(found["torch"])  # wheels for CUDA leave the build out of their name


def test_an_origin_is_plain_and_names_no_host():
    found = json.loads(json.dumps(origin()))
    assert set(found) == {"versions", "commit", "machine", "command"}
    assert set(found["machine"]) == {"system", "processor", "cores"}
    assert platform.node() not in found["machine"].values()


def test_without_a_checkout_there_is_no_commit(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(module, "__file__", str(tmp_path / "a/b/c.py"))
    assert commit() is None
