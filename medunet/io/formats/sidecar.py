"""The pixel size of a microscopy picture, from the JSON file that BIDS keeps beside it (BIDS 1.10)."""

from __future__ import annotations

import json
from pathlib import Path

from medunet.errors import DataError

UNIT_MM = {"mm": 1.0, "um": 1e-3, "µm": 1e-3, "nm": 1e-6}
PICTURES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
LARGEST_BYTES = 100_000


def pixel_size_mm(picture: Path) -> tuple[float, float] | None:
    """Return the edges (x, y) of a pixel, or None where no sidecar names them.

    By BIDS inheritance a sidecar may leave out parts of the name: sub-1_SEM.json serves
    sub-1_sample-2_SEM.png.
    """
    nearest = sidecar_of(picture)
    return _read(nearest) if nearest else None


def sidecar_of(picture: Path) -> Path | None:
    """Return the JSON file that describes a picture; None where there is none, or the file is no picture."""
    if picture.suffix.lower() not in PICTURES:
        return None
    parts = picture.name.split(".")[0].split("_")
    found = [path for path in picture.parent.glob(f"*_{parts[-1]}.json") if set(_parts(path)) <= set(parts)]
    if len(parts) < 2 or not found:
        return None
    return max(found, key=lambda path: len(_parts(path)))


def _parts(path: Path) -> list[str]:
    return path.stem.split("_")


def _read(path: Path) -> tuple[float, float] | None:
    try:
        if path.stat().st_size > LARGEST_BYTES:
            return None
        values = json.loads(path.read_text(encoding="utf-8"))
        if "PixelSize" not in values:
            return None
        x, y = (float(edge) * UNIT_MM[values["PixelSizeUnits"]] for edge in values["PixelSize"][:2])
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(
            f"{path}: found no usable PixelSize and PixelSizeUnits ({error!r}); "
            f"expected two numbers and one of {', '.join(UNIT_MM)}. Correct the file."
        ) from error
    if not (x > 0 and y > 0):
        raise DataError(f"{path}: PixelSize must be above 0, found {values['PixelSize']}. Correct the file.")
    return x, y
