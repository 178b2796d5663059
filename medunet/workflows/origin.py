"""Where a result comes from: versions, machine, commit, command. No names of persons, no scan headers."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from medunet import __version__

PACKAGES = ("torch", "monai", "numpy", "scipy", "nibabel", "pydicom", "SimpleITK", "mlflow", "openvino")


def versions() -> dict[str, str]:
    """Return the versions of medunet, Python and the packages that decide results."""
    found = {"medunet": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the git commit of a medunet checkout, with `+changes` if it is not clean; None without one."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        head = _git(checkout, "rev-parse", "HEAD")
        return f"{head}+changes" if _git(checkout, "status", "--porcelain", "-uno") else head
    except (OSError, subprocess.SubprocessError):
        return None


def _git(checkout: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=checkout, capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()


def origin() -> dict[str, Any]:
    """Return what `run.json` and reports say about how something was made."""
    machine = {"system": platform.platform(), "processor": platform.machine(), "cores": _cores()}
    return {
        "versions": versions(),
        "commit": commit(),
        "machine": machine,
        "command": ["medunet", *sys.argv[1:]],
    }


def _cores() -> int:
    import psutil

    return int(psutil.cpu_count(logical=True) or 1)
