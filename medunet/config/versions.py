"""The versions of the packages that decide results."""

from __future__ import annotations

import platform
from importlib import metadata

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
