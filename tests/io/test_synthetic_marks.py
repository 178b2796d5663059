"""A generated image says so in every format, its bytes follow from its voxels, and every reader is told."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from medunet.errors import DataError
from medunet.io.facts import is_synthetic
from medunet.io.read import read_image
from medunet.io.stored import SYNTHETIC
from medunet.io.write import write_image, write_synthetic_image

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (3, 20, 24)).astype(np.uint8)
CASES = {
    "volume.nii.gz": (RNG.normal(size=(1, 10, 12, 9)).astype(np.float32), np.diag([0.5, 0.6, 2.0, 1.0])),
    "channels.nii.gz": (RNG.normal(size=(2, 10, 12, 9)).astype(np.float32), np.eye(4)),
    "hu.nii.gz": (RNG.integers(-1000, 900, (1, 10, 12, 9)).astype(np.int16), np.eye(4)),
    "grey.png": (COLOUR[:1], np.eye(3)),
    "colour.png": (COLOUR, np.eye(3)),
    "grey.tif": (RNG.normal(size=(1, 20, 24)).astype(np.float32), np.eye(3)),
    "colour.tif": (COLOUR.astype(np.float32), np.eye(3)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_marked_image_reads_the_same_and_says_what_it_is(name: str, tmp_path: Path) -> None:
    array, affine = CASES[name]
    write_synthetic_image(tmp_path / name, array, affine, "generator x", {"Number": 3})
    found = read_image(tmp_path / name, channels=len(array))
    assert np.array_equal(found.array, array.astype(np.float32))
    assert np.allclose(found.affine, affine)
    assert [text for text in found.warnings if "synthetic" in text]
    assert is_synthetic(tmp_path / name)
    beside = json.loads((tmp_path / f"{name.split('.')[0]}.json").read_text(encoding="utf-8"))
    assert beside == {"Synthetic": True, "Description": SYNTHETIC, "Number": 3}


@pytest.mark.parametrize("name", CASES)
def test_the_same_array_gives_the_same_bytes_and_another_gives_others(name: str, tmp_path: Path) -> None:
    array, affine = CASES[name]
    for folder, values in (("one", array), ("two", np.asfortranarray(array)), ("other", array[:, ::-1])):
        write_synthetic_image(tmp_path / folder / name, values, affine, "generator x", {"Number": 3})
    one, two, other = (
        [path.read_bytes() for path in sorted((tmp_path / folder).iterdir())]
        for folder in ("one", "two", "other")
    )
    assert one == two != other


@pytest.mark.parametrize("name", CASES)
def test_an_image_without_the_mark_is_none(name: str, tmp_path: Path) -> None:
    array, affine = CASES[name]
    write_image(tmp_path / name, array, affine)
    assert not is_synthetic(tmp_path / name)
    assert not [text for text in read_image(tmp_path / name, channels=len(array)).warnings if "synth" in text]


def test_the_mark_stands_where_other_programs_show_it(tmp_path: Path) -> None:
    long = "x" * 200
    for name in ("volume.nii.gz", "grey.png", "grey.tif"):
        write_synthetic_image(tmp_path / name, *CASES[name], long)
    described = nib.load(tmp_path / "volume.nii.gz").header["descrip"].item()
    assert described.startswith(SYNTHETIC.encode())
    assert len(described) == 80
    with Image.open(tmp_path / "grey.png") as picture:
        assert picture.text["Warning"] == picture.text["Description"] == f"{SYNTHETIC}; {long}"
    with tifffile.TiffFile(tmp_path / "grey.tif") as tiff:
        assert tiff.pages.first.description == f"{SYNTHETIC}; {long}"


def test_a_format_without_room_for_the_mark_is_refused(tmp_path: Path) -> None:
    for name in ("volume.mha", "volume.nrrd"):
        with pytest.raises(DataError, match="must say so"):
            write_synthetic_image(tmp_path / name, *CASES["volume.nii.gz"])
    with pytest.raises(DataError, match="takes no mark"):
        write_synthetic_image(tmp_path / "deep.png", COLOUR.astype(np.uint16), np.eye(3))
    assert [path for path in tmp_path.iterdir() if path.suffix != ".json"] == []
