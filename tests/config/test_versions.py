from __future__ import annotations

from importlib import metadata

import pytest

from medunet.config import versions as module
from medunet.config.versions import versions


def test_versions_are_those_that_are_installed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PACKAGES", ("numpy", "no-such-package"))
    found = versions()
    assert found["numpy"] == metadata.version("numpy")
    assert set(found) == {"medunet", "python", "numpy"}
