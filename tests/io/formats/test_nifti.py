from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medunet.errors import DataError
from medunet.io.read import read_header, read_image

AFFINE = np.diag([1.0, 2.0, 3.0, 1.0])


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE, **fields: object) -> Path:
    image = nib.Nifti1Image(array, affine, dtype=array.dtype)
    for key, value in fields.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def patch(path: Path, offset: int, data: bytes) -> None:
    raw = bytearray(path.read_bytes())
    raw[offset : offset + len(data)] = data
    path.write_bytes(raw)


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 200, (12, 10, 9)).astype(np.int16)


def test_slope_and_intercept_are_applied(array: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", array)
    patch(path, 112, struct.pack("<2f", 0.5, -10.0))  # scl_slope, scl_inter
    assert np.allclose(read_image(path).array[0], array * 0.5 - 10.0)


def test_big_endian_and_float64_are_read(array: np.ndarray, tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    image = nib.Nifti1Image(array.astype(">f8"), AFFINE, header)
    nib.save(image, tmp_path / "a.nii.gz")
    volume = read_image(tmp_path / "a.nii.gz")
    assert np.array_equal(volume.array[0], array)
    assert volume.array.dtype == np.float32
    assert read_header(tmp_path / "a.nii.gz").spacing_mm == (1.0, 2.0, 3.0)


def test_nifti_2_is_read(array: np.ndarray, tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(array, AFFINE), tmp_path / "a.nii")
    assert np.array_equal(read_image(tmp_path / "a.nii").array[0], array)


def test_gzip_named_nii_is_read_and_said(array: np.ndarray, tmp_path: Path) -> None:
    save(tmp_path / "a.nii.gz", array).rename(tmp_path / "a.nii")
    volume = read_image(tmp_path / "a.nii")
    assert np.array_equal(volume.array[0], array)
    assert "gzip content" in volume.warnings[0]


def test_last_axis_is_channels_when_asked_for(array: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", np.stack([array, array + 1], -1))
    volume = read_image(path, channels=2)
    assert volume.array.shape == (2, 12, 10, 9)
    assert np.array_equal(volume.array[1], array + 1)
    assert read_header(path).channels == 2


def test_4d_where_3d_is_expected_is_refused_with_numbers(array: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", np.stack([array] * 4, -1))
    with pytest.raises(DataError, match=r"found 4 channel.*12 x 10 x 9 x 4.*expected 1"):
        read_image(path)


def test_trailing_single_axes_are_dropped(array: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", array[..., None, None])
    assert read_image(path).shape == (12, 10, 9)


def test_channel_files_must_share_a_grid(array: np.ndarray, tmp_path: Path) -> None:
    first, second = save(tmp_path / "a.nii.gz", array), save(tmp_path / "b.nii.gz", array + 1)
    volume = read_image([first, second], channels=2)
    assert np.array_equal(volume.array[1], array + 1)
    moved = AFFINE.copy()
    moved[0, 3] = 4.0
    other = save(tmp_path / "c.nii.gz", array, moved)
    with pytest.raises(DataError, match=r"share a grid.*corners are up to 4 mm"):
        read_image([first, other], channels=2)
    with pytest.raises(DataError, match="found 2 files; expected 3"):
        read_image([first, second], channels=3)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.zeros((9, 9, 9), np.complex64), "complex"),
        (np.zeros((9, 9, 9), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "colour"),
        (np.zeros((9, 9, 9, 1, 3), np.int16), "vectors of 3"),
        (np.zeros((9, 9, 9, 2, 2), np.int16), "found 5 axes"),
    ],
)
def test_what_is_no_scan_is_refused(values: np.ndarray, expected: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", values)
    with pytest.raises(DataError, match=expected):
        read_image(path)


def test_a_header_that_claims_huge_sizes_is_refused_before_memory(array: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", array)
    patch(path, 40, struct.pack("<4h", 3, 30000, 30000, 30000))
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for file in (path, packed):
        with pytest.raises(DataError, match=r"30000 x 30000 x 30000.*2\.7e\+13 voxels; the limit"):
            read_image(file)


def test_a_bomb_that_gzip_could_never_unpack_to_is_refused(array: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", array)
    patch(path, 40, struct.pack("<4h", 3, 500, 500, 500))
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for file in (path, packed):
        with pytest.raises(DataError, match=r"the file holds .* bytes"):
            read_image(file)


@pytest.mark.parametrize(
    ("offset", "data", "expected"),
    [
        (40, struct.pack("<h", 9), "dim = "),
        (42, struct.pack("<h", -5), "at least 1 voxel"),
        (108, struct.pack("<f", 1e9), "start at byte 1e"),
        (108, struct.pack("<f", float("nan")), "start at byte nan"),
        (344, b"xxxx", "magic"),
        (344, b"ni1\0", "pair"),
        (70, struct.pack("<h", 77), "data type code 77"),
        (280, struct.pack("<12f", *[0.0] * 12), "singular"),
        (280, struct.pack("<12f", *[float("nan")] * 12), "NaN"),
    ],
)
def test_damaged_headers_are_refused(
    offset: int, data: bytes, expected: str, array: np.ndarray, tmp_path: Path
) -> None:
    path = save(tmp_path / "a.nii", array)
    patch(path, offset, data)
    with pytest.raises(DataError, match=expected) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_truncated_files_are_refused(array: np.ndarray, tmp_path: Path) -> None:
    packed = save(tmp_path / "a.nii.gz", array)
    plain = save(tmp_path / "b.nii", array)
    for path in (packed, plain):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(DataError, match="cut short"):
            read_image(path)


def test_a_flipped_byte_is_found_by_the_checksum(array: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii.gz", array)
    patch(path, path.stat().st_size - 8, b"\x01\x02\x03\x04")  # CRC-32 of the gzip member
    with pytest.raises(DataError, match="damaged"):
        read_image(path)


def test_nan_and_inf_become_the_lowest_finite_value_and_are_said(tmp_path: Path) -> None:
    values = np.full((9, 9, 9), 5.0, np.float32)
    values[0, 0, 0], values[1, 1, 1], values[2, 2, 2] = np.nan, np.inf, -3.0
    volume = read_image(save(tmp_path / "a.nii.gz", values))
    assert volume.array.min() == -3.0
    assert volume.array[0, 1, 1, 1] == -3.0
    assert np.isfinite(volume.array).all()
    assert any("2 voxels" in text and "-3" in text for text in volume.warnings)
    with pytest.raises(DataError, match="every voxel is NaN"):
        read_image(save(tmp_path / "b.nii.gz", values * np.nan))


def test_small_rounding_is_read_and_clear_shear_is_refused(array: np.ndarray, tmp_path: Path) -> None:
    rounding, shear = AFFINE.copy(), AFFINE.copy()
    rounding[0, 1], shear[0, 1] = 0.005 * 2, 0.05 * 2
    volume = read_image(save(tmp_path / "a.nii.gz", array, rounding))
    assert any("right angles" in text for text in volume.warnings)
    sheared = save(tmp_path / "b.nii.gz", array, shear)
    with pytest.raises(DataError, match="medunet doctor --fix"):
        read_image(sheared)
    assert np.array_equal(read_image(sheared, any_grid=True).array[0], array)


@pytest.mark.parametrize(
    ("values", "affine", "expected"),
    [
        (np.full((9, 9, 9), 7, np.int16), AFFINE, "every voxel is 7"),
        (np.arange(81, dtype=np.int16).reshape(9, 9, 1), AFFINE, "one slice"),
        (np.arange(105, dtype=np.int16).reshape(7, 5, 3), AFFINE, "small: 7 x 5 x 3"),
        (np.arange(729, dtype=np.int16).reshape(9, 9, 9), np.diag([1.0, 1, 12, 1]), "uneven voxel edges"),
        (np.arange(729, dtype=np.int16).reshape(9, 9, 9), np.diag([1.0, 1, 500, 1]), "check the unit"),
    ],
)
def test_odd_images_are_read_with_a_warning(
    values: np.ndarray, affine: np.ndarray, expected: str, tmp_path: Path
) -> None:
    volume = read_image(save(tmp_path / "a.nii.gz", values, affine))
    assert np.array_equal(volume.array[0], values)
    assert any(expected in text for text in volume.warnings)


def test_numbers_cut_to_8_bits_are_suspected(tmp_path: Path) -> None:
    ramp = np.add.outer(np.add.outer(np.arange(30), np.arange(30)), np.arange(30)) * 12
    wrapped = read_image(save(tmp_path / "a.nii.gz", ramp.astype(np.uint8)))
    scaled = read_image(save(tmp_path / "b.nii.gz", (ramp * 255 / ramp.max()).astype(np.uint8)))
    assert any("8 bits" in text for text in wrapped.warnings)
    assert scaled.warnings == ()


def test_a_file_without_orientation_codes_is_read_with_a_warning(array: np.ndarray, tmp_path: Path) -> None:
    path = save(tmp_path / "a.nii", array)
    patch(path, 252, struct.pack("<2h", 0, 0))
    assert any("orientation codes" in text for text in read_image(path).warnings)


def test_a_single_voxel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="single voxel"):
        read_image(save(tmp_path / "a.nii.gz", np.ones((1, 1, 1), np.int16)))


@pytest.mark.parametrize(("code", "edge_mm"), [(0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001)])
def test_the_unit_of_the_header_counts(tmp_path: Path, code: int, edge_mm: float) -> None:
    place = save(
        tmp_path / "a.nii", np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4), xyzt_units=code
    )
    volume = read_image(place)
    assert volume.spacing_mm == pytest.approx((edge_mm,) * 3)
    assert any("the header counts in" in text for text in volume.warnings) == (code in (1, 3))
