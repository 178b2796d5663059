from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from medunet.errors import DataError
from medunet.io.formats.sidecar import pixel_size_mm
from medunet.io.read import read_header, read_image
from medunet.io.write import write_image


def sidecar(path: Path, **values: object) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "sub-1_sample-2_SEM.png"
    write_image(path, np.arange(24, dtype=np.uint8).reshape(4, 6), np.eye(3))
    return path


def test_the_pixel_size_comes_from_the_file_beside_the_picture(picture: Path):
    sidecar(picture.with_suffix(".json"), PixelSize=[0.1, 0.2], PixelSizeUnits="um")
    volume = read_image(picture, pixel_mm=5.0)
    assert volume.spacing_mm == pytest.approx((1e-4, 2e-4))
    assert volume.spacing_known
    assert read_header(picture).spacing_mm == pytest.approx((1e-4, 2e-4))


def test_a_sidecar_of_the_subject_serves_its_samples_and_the_nearest_wins(picture: Path):
    sidecar(picture.with_name("sub-1_SEM.json"), PixelSize=[3, 3], PixelSizeUnits="nm")
    sidecar(picture.with_name("sub-2_SEM.json"), PixelSize=[9, 9], PixelSizeUnits="nm")
    assert pixel_size_mm(picture) == pytest.approx((3e-6, 3e-6))
    sidecar(picture.with_suffix(".json"), PixelSize=[7, 7], PixelSizeUnits="mm")
    assert pixel_size_mm(picture) == (7.0, 7.0)


def test_without_a_sidecar_nothing_is_known(picture: Path):
    sidecar(picture.with_name("sub-1_TEM.json"), PixelSize=[3, 3], PixelSizeUnits="nm")
    assert pixel_size_mm(picture) is None
    assert not read_image(picture).spacing_known


@pytest.mark.parametrize(
    "values",
    [
        {"PixelSize": [0.1, 0.1]},
        {"PixelSize": 0.1, "PixelSizeUnits": "um"},
        {"PixelSize": [0.1, 0.1], "PixelSizeUnits": "inch"},
        {"PixelSize": [0, 0.1], "PixelSizeUnits": "um"},
    ],
)
def test_a_wrong_sidecar_is_named(picture: Path, values: dict[str, object]):
    sidecar(picture.with_suffix(".json"), **values)
    with pytest.raises(DataError, match=r"sub-1_sample-2_SEM\.json"):
        read_image(picture)
