"""Turn pixels into a PNG file's bytes, for reports and logs."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode_png(rgb: NDArray[np.uint8]) -> bytes:
    """Return a picture (H, W, 3) as the bytes of a PNG file."""
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb, np.uint8), "RGB").save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
