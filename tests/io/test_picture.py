from __future__ import annotations

import io

import numpy as np
from PIL import Image

from medunet.io.picture import encode_png


def test_a_picture_comes_back_pixel_for_pixel():
    rgb = np.random.default_rng(0).integers(0, 256, (7, 11, 3), np.uint8)
    with Image.open(io.BytesIO(encode_png(rgb))) as picture:
        assert picture.format == "PNG"
        assert np.array_equal(np.asarray(picture), rgb)
