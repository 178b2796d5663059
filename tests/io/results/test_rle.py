from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import pixel_array
from pydicom.uid import RLELossless

from medunet.io.results.rle import encode


def decoded(frame: bytes, shape: tuple[int, int], bits: int, plugin: str) -> np.ndarray:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.Rows, dataset.Columns = shape
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = bits - 1, 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    return pixel_array(dataset, decoding_plugin=plugin)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1), (7, 128), (5, 129), (3, 300), (9, 1)])
def test_other_decoders_read_what_was_encoded(shape: tuple[int, int], dtype: type) -> None:
    rng = np.random.default_rng(0)
    for plane in (
        np.zeros(shape, dtype),
        np.full(shape, 200, dtype),
        rng.integers(0, np.iinfo(dtype).max, shape).astype(dtype),
        np.repeat(rng.integers(0, 3, (shape[0], -(-shape[1] // 20))), 20, axis=1)[:, : shape[1]].astype(
            dtype
        ),
    ):
        frame = encode(plane)
        assert len(frame) % 2 == 0
        assert np.array_equal(decoded(frame, shape, 8 * plane.itemsize, "pydicom"), plane)


def test_runs_do_not_cross_rows_and_are_short() -> None:
    assert encode(np.zeros((4, 512), np.uint8))[64:] == bytes([257 - 128, 0]) * 16
    assert encode(np.zeros((4, 100), np.uint8))[64:] == bytes([257 - 100, 0]) * 4
