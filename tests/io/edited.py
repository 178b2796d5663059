"""Change a written series, and expect a refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from medunet.errors import DataError
from medunet.io.read import read_image


def edit(folder: Path, change: Callable[[Dataset, int], None]) -> None:
    """Change every file of a series in place; index counts slices from below."""
    for index, path in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(path)
        change(dataset, index)
        dataset.save_as(path)


def refused(source: Path, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        read_image(source)
    assert str(source) in str(caught.value)
