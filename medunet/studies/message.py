"""A volume without its voxels as JSON values, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from medunet.io.planes import PlaneGrid
from medunet.io.volume import Array, Grid, Volume


def pack_volume(volume: Volume) -> dict[str, Any]:
    """Return all of a volume but its array, as JSON values."""
    grid = volume.grid
    return {
        "affine": volume.affine.tolist(),
        "grid": {
            "shape": list(grid.shape),
            "affine": grid.affine.tolist(),
            "header_affine": None if grid.header_affine is None else grid.header_affine.tolist(),
            **({"origins": grid.origins.tolist(), "even": grid.even} if isinstance(grid, PlaneGrid) else {}),
        },
        "path": str(volume.path),
        "spacing_known": volume.spacing_known,
        "modality": volume.modality,
        "warnings": list(volume.warnings),
        "header": volume.header,
    }


def unpack_volume(values: dict[str, Any], array: Array) -> Volume:
    """Return the volume that was packed, with its array."""
    return Volume(
        **values
        | {
            "array": array,
            "affine": np.asarray(values["affine"], float),
            "grid": _grid(values["grid"]),
            "path": Path(values["path"]),
            "warnings": tuple(values["warnings"]),
        }
    )


def _grid(values: dict[str, Any]) -> Grid:
    header_affine = values["header_affine"]
    grid = Grid.of(
        tuple(values["shape"]),
        np.asarray(values["affine"], float),
        None if header_affine is None else np.asarray(header_affine, float),
    )
    if "origins" not in values:
        return grid
    origins = np.asarray(values["origins"], float)
    return PlaneGrid(grid.shape, grid.affine, grid.orientation, None, origins, values["even"])
