from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from medunet.io.dicom.ct_series import write_ct_series


@pytest.fixture
def scan() -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """A scan with no symmetry, in RAS+, and an affine of three unlike voxel edges."""
    array = np.random.default_rng(0).integers(-1000, 1500, (11, 9, 10)).astype(np.int16)
    affine = np.diag([0.8, 1.2, 2.5, 1.0])
    affine[:3, 3] = (-40.0, 12.5, 300.0)
    return array, affine


@pytest.fixture
def oblique() -> NDArray[np.float64]:
    """An affine turned about all three axes, still nearest to RAS+."""
    a, b, c = np.radians([20.0, 15.0, -10.0])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_y @ about_x @ np.diag([0.8, 1.2, 2.5])
    affine[:3, 3] = (-40.0, 12.5, 300.0)
    return affine


@pytest.fixture
def series(scan: tuple, tmp_path: Path) -> Path:
    """A folder with that scan as a DICOM series of ten slices."""
    array, affine = scan
    folder = tmp_path / "ct"
    write_ct_series(folder, array, affine, patient_id="p1", description="phantom", seed=0)
    return folder
