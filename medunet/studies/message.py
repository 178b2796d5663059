"""A volume without its voxels as JSON values, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

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
        },
        "path": str(volume.path),
        "spacing_known": volume.spacing_known,
        "modality": volume.modality,
        "warnings": list(volume.warnings),
        "header": volume.header,
    }


def unpack_volume(values: dict[str, Any], array: Array) -> Volume:
    """Return the volume that was packed, with its array."""
    grid = values.pop("grid")
    header_affine = grid["header_affine"]
    return Volume(
        **values
        | {
            "array": array,
            "affine": np.asarray(values["affine"], float),
            "grid": Grid.of(
                tuple(grid["shape"]),
                np.asarray(grid["affine"], float),
                None if header_affine is None else np.asarray(header_affine, float),
            ),
            "path": Path(values["path"]),
            "warnings": tuple(values["warnings"]),
        }
    )
