"""How bright an image is shown at first, and what else is offered, by its modality."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CT_HU = {  # centre and width in HU, as radiology teaching gives them
    "Soft tissue": (40, 400),
    "Lung": (-600, 1500),
    "Bone": (400, 1800),
    "Brain": (40, 80),
    "Liver": (60, 160),
    "Mediastinum": (50, 350),
    "Angiography": (300, 600),
}
AIR_HU = -500  # a CT in HU holds air
MOST_VALUES = 2**20  # what percentiles are taken from


def windows_of(modality: str, values: NDArray[np.number[Any]]) -> dict[str, object]:
    """Return the first window and the presets as [low, high] in the image's own values.

    values: any shape; of a large image an even sample. CT in HU gets the named windows, everything else its
    1st to 99th percentile of what is not background, half and all of its range.
    """
    low, high = float(values.min()), float(values.max())
    presets = [("Whole range", low, high)]
    if modality.upper() == "CT" and low < AIR_HU:
        named = [(name, c - w / 2, c + w / 2) for name, (c, w) in CT_HU.items()]
        presets = [*named, *presets]
    else:
        flat = values.reshape(-1).astype(np.float32)
        inside = flat[flat > low] if (flat > low).any() else flat
        first, last = (float(p) for p in np.percentile(inside, (1, 99)))
        presets = [("Automatic", first, last), *presets, ("Bright", first, (first + last) / 2)]
    wide = [(name, a, b if b > a else a + 1.0) for name, a, b in presets]
    return {
        "default": list(wide[0][1:]),
        "presets": [{"name": name, "low": a, "high": b} for name, a, b in wide],
    }
