from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from medunet.geometry import voxel_to_mm
from medunet.io.read import read_header, read_image, read_mask
from medunet.io.write import write_mask

PAIRS = (("L", "R"), ("P", "A"), ("I", "S"))
CODES = ["".join(c) for order in itertools.permutations(PAIRS) for c in itertools.product(*order)]


def save(path: Path, array: np.ndarray, affine: np.ndarray, codes: str) -> None:
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(tuple(codes)))
    stored = apply_orientation(array, turn)
    nib.save(nib.Nifti1Image(stored, affine @ inv_ornt_aff(turn, array.shape)), path)


def test_there_are_48_orientations() -> None:
    assert len(set(CODES)) == 48


@pytest.mark.parametrize("codes", CODES)
def test_every_orientation_is_read_as_the_same_scan_and_written_back_in_its_own(
    codes: str, scan: tuple, oblique: np.ndarray, tmp_path: Path
) -> None:
    array, _ = scan
    path = tmp_path / f"{codes}.nii.gz"
    save(path, array, oblique, codes)
    volume = read_image(path)
    assert np.array_equal(volume.array[0], array)
    assert np.allclose(volume.affine, oblique, atol=1e-4)
    header = read_header(path)
    assert header.shape == array.shape
    assert np.allclose(header.affine, volume.affine)

    mask = (array > 700).astype(np.uint8)
    write_mask(tmp_path / "mask.nii.gz", mask, volume)
    source, written = nib.load(path), nib.load(tmp_path / "mask.nii.gz")
    assert written.shape == source.shape
    assert np.allclose(written.affine, source.affine, atol=1e-6)
    assert np.array_equal(written.dataobj, (np.asarray(source.dataobj) > 700))
    assert np.array_equal(read_mask(tmp_path / "mask.nii.gz").array, mask)


@pytest.mark.parametrize("ending", [".nii", ".mha", ".nrrd"])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "AIL", "SPR"])
def test_other_formats_keep_every_voxel_in_its_place(
    codes: str, ending: str, scan: tuple, oblique: np.ndarray, tmp_path: Path
) -> None:
    array, _ = scan
    save(tmp_path / "scan.nii.gz", array, oblique, codes)
    volume = read_image(tmp_path / "scan.nii.gz")
    mask = (array > 700).astype(np.uint8)
    write_mask(tmp_path / f"mask{ending}", mask, volume)
    back = read_mask(tmp_path / f"mask{ending}")
    assert np.array_equal(back.array, mask)
    assert np.allclose(back.affine, oblique, atol=1e-4)


def test_a_marked_voxel_lies_where_the_affine_says(scan: tuple, oblique: np.ndarray, tmp_path: Path) -> None:
    array = np.zeros((11, 9, 10), np.int16)
    array[7, 2, 5] = 100
    expected = voxel_to_mm(oblique, np.array([7.0, 2.0, 5.0]))
    for codes in ("LIA", "PSR"):
        save(tmp_path / "point.nii.gz", array, oblique, codes)
        volume = read_image(tmp_path / "point.nii.gz")
        found = np.argwhere(volume.array[0] == 100)[0].astype(float)
        assert np.allclose(voxel_to_mm(volume.affine, found), expected, atol=1e-4)
