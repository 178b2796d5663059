from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from medunet.errors import DataError
from medunet.io.read import read_header, read_image, read_mask
from medunet.io.write import write_image, write_mask


@pytest.fixture
def grey() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 255, (20, 30)).astype(np.uint8)  # rows, columns


def test_x_is_the_column_and_y_the_row(grey: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(grey).save(tmp_path / "a.png")
    volume = read_image(tmp_path / "a.png", pixel_mm=0.5)
    assert volume.array.shape == (1, 30, 20)
    assert volume.array[0, 7, 3] == grey[3, 7]
    assert volume.spacing_mm == (0.5, 0.5)
    assert volume.spacing_known
    assert read_header(tmp_path / "a.png").shape == (30, 20)
    unknown = read_image(tmp_path / "a.png")
    assert unknown.spacing_mm == (1.0, 1.0)
    assert not unknown.spacing_known


def test_grey_is_repeated_and_colour_is_reduced(grey: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png", channels=3).array.shape == (3, 30, 20)
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "equal.png")
    equal = read_image(tmp_path / "equal.png")
    assert np.array_equal(equal.array[0], grey.T)
    assert equal.warnings == ()
    colour = np.stack([grey, grey // 2, grey // 4], -1)
    Image.fromarray(colour).save(tmp_path / "colour.png")
    told = read_image(tmp_path / "colour.png")
    assert np.allclose(told.array[0], (colour @ [0.299, 0.587, 0.114]).T, atol=1e-3)
    assert any("luminance" in text for text in told.warnings)
    assert np.array_equal(read_image(tmp_path / "colour.png", channels=3).array[1], (grey // 2).T)
    with pytest.raises(DataError, match=r"found 3 channel.*expected 2"):
        read_image(tmp_path / "colour.png", channels=2)


def test_alpha_is_dropped(grey: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(np.stack([grey, grey, grey, grey // 3], -1)).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png").array[0], grey.T)


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_kept(ending: str, channels: int, tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 65535, (channels, 30, 20)).astype(np.uint16)
    write_image(tmp_path / f"a{ending}", pixels, np.eye(3))
    volume = read_image(tmp_path / f"a{ending}", channels=channels)
    assert np.array_equal(volume.array, pixels)
    assert read_header(tmp_path / f"a{ending}").dtype == "uint16"


def test_jpeg_is_read_and_a_wrong_name_is_said(grey: np.ndarray, tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.png", "JPEG", quality=95)
    volume = read_image(tmp_path / "a.png")
    assert np.abs(volume.array[0] - smooth.T).max() <= 3
    assert any("JPEG content" in text for text in volume.warnings)


def test_exif_orientation_is_said_and_not_applied(grey: np.ndarray, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(grey).save(tmp_path / "a.png", exif=exif)
    volume = read_image(tmp_path / "a.png")
    assert np.array_equal(volume.array[0], grey.T)
    assert any("EXIF" in text for text in volume.warnings)


def test_several_pages_are_refused(grey: np.ndarray, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([grey] * 4), photometric="minisblack")
    with pytest.raises(DataError, match="found 4 pages; expected 1"):
        read_image(tmp_path / "a.tif")


def test_lzw_tiff_is_read(grey: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(grey).save(tmp_path / "a.tif", compression="tiff_lzw")
    assert np.array_equal(read_image(tmp_path / "a.tif").array[0], grey.T)


def test_float_tiff_of_nan_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.full((9, 9), np.nan, np.float32))
    with pytest.raises(DataError, match="every voxel is NaN"):
        read_image(tmp_path / "a.tif")


def test_a_picture_that_claims_900_million_pixels_is_refused(tmp_path: Path) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    for edge, depth in ((30000, 1), (9000, 8)):
        head = struct.pack(">IIBBBBB", edge, edge, depth, 0, 0, 0, 0)
        body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
        path = tmp_path / f"{edge}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
        with pytest.raises(DataError, match=f"declares {edge} x {edge}"):
            read_image(path)


def test_a_cut_picture_is_refused(grey: np.ndarray, tmp_path: Path) -> None:
    for name in ("a.png", "a.tif", "a.jpg"):
        Image.fromarray(grey).save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=str(tmp_path / name)):
            read_image(tmp_path / name)


def test_a_palette_mask_gives_its_numbers(tmp_path: Path) -> None:
    labels = np.random.default_rng(4).integers(0, 3, (20, 30)).astype(np.uint8)
    picture = Image.fromarray(labels)
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "a.png")
    assert picture.mode == "P"
    assert np.array_equal(read_mask(tmp_path / "a.png", labels=[1, 2]).array, labels.T)
    assert read_image(tmp_path / "a.png", channels=3).array.max() == 255


@pytest.mark.parametrize("ending", [".png", ".tif", ".nii.gz"])
def test_2d_masks_round_trip(ending: str, grey: np.ndarray, tmp_path: Path) -> None:
    Image.fromarray(grey).save(tmp_path / "image.png")
    image = read_image(tmp_path / "image.png")
    mask = (image.array[0] > 100).astype(np.uint8)
    write_mask(tmp_path / f"mask{ending}", mask, image)
    back = read_mask(tmp_path / f"mask{ending}")
    assert back.shape == (30, 20)
    assert np.array_equal(back.array, mask)
