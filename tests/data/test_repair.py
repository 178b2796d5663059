"""Repaired copies are right, and the source is never touched."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medunet.data.doctor import Rules, Subject, examine_case
from medunet.data.repair import Repair, repair, straightened
from medunet.geometry import axis_skew, spacing_of, voxel_to_mm
from medunet.io.read import read_image, read_mask
from medunet.io.write import write_image
from tests.phantoms import RAS_1MM, two_balls

RULES = Rules(labels={1: "bright", 2: "middling"})


def fixed(root: Path, image, mask, affines=(RAS_1MM, RAS_1MM)) -> list[Repair]:
    place = root / "data/image.nii.gz"
    write_image(place, image, affines[0])
    write_image(root / "data/mask.nii.gz", mask, affines[1])
    before = {path: path.read_bytes() for path in (root / "data").iterdir()}
    case = examine_case(Subject("a", place, place, root / "data/mask.nii.gz"), RULES)
    out = repair(case, lambda path: root / "fixed" / path.name)
    assert {path: path.read_bytes() for path in (root / "data").iterdir()} == before
    return out


def again(root: Path) -> set[str]:
    """Examine the copies, with the originals where there is none."""
    files = [root / f"fixed/{n}" if (root / f"fixed/{n}").exists() else root / f"data/{n}" for n in NAMES]
    return {
        finding.kind for finding in examine_case(Subject("a", files[0], files[0], files[1]), RULES).findings
    }


NAMES = ("image.nii.gz", "mask.nii.gz")


def test_a_good_case_is_left_alone(tmp_path: Path) -> None:
    assert fixed(tmp_path, *two_balls(0)) == []
    assert not (tmp_path / "fixed").exists()


def test_nan_and_infinity_become_the_lowest_finite_value(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    broken = image.copy()
    broken[3, 4, 5], broken[0, 0, 0] = np.nan, np.inf
    (entry,) = fixed(tmp_path, broken, mask)
    assert "2 voxels set to" in entry.what
    got = np.asanyarray(nib.load(tmp_path / "fixed/image.nii.gz").dataobj)
    lowest = broken[np.isfinite(broken)].min()
    assert got[3, 4, 5] == got[0, 0, 0] == lowest
    assert np.array_equal(got[1:, 5:], broken[1:, 5:])
    assert again(tmp_path) == set()


def test_float_masks_become_integers_on_the_header_of_the_image(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    moved = np.eye(4)
    moved[:3, 3] = 0.2
    (entry,) = fixed(tmp_path, image, mask.astype(np.float64), (np.eye(4), moved))
    assert entry.what == "stored as uint8; header of the image"
    got = nib.load(tmp_path / "fixed/mask.nii.gz")
    assert got.get_data_dtype() == np.uint8
    assert np.array_equal(np.asanyarray(got.dataobj), mask)
    assert np.array_equal(got.affine, np.eye(4))
    assert again(tmp_path) == set()


def test_slight_skew_gets_a_right_angled_header_and_the_same_voxels(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[0, 1] = 0.01
    assert {entry.source.name for entry in fixed(tmp_path, image, mask, (affine, affine))} == set(NAMES)
    got = nib.load(tmp_path / "fixed/image.nii.gz")
    assert axis_skew(got.affine) < 1e-6
    assert np.array_equal(np.asanyarray(got.dataobj), image)
    assert again(tmp_path) == set()


def test_shear_is_resampled_so_that_anatomy_stays_in_place(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    affine = np.eye(4)
    affine[1, 2] = 0.25
    fixed(tmp_path, image, mask, (affine, affine))
    got = read_mask(tmp_path / "fixed/mask.nii.gz", labels=(1, 2))
    assert again(tmp_path) <= {"axes"}
    for label in (1, 2):
        before = voxel_to_mm(affine, np.argwhere(mask == label).astype(float)).mean(axis=0)
        after = voxel_to_mm(got.affine, np.argwhere(got.array == label).astype(float)).mean(axis=0)
        assert np.linalg.norm(before - after) < 0.2
        volumes = [
            (a == label).sum() * np.linalg.det(g) for a, g in ((mask, affine), (got.array, got.affine))
        ]
        assert volumes[1] == pytest.approx(volumes[0], rel=0.05)
    assert read_image(tmp_path / "fixed/image.nii.gz").shape == got.shape


def test_straightened_keeps_centre_and_spacing() -> None:
    affine = np.array([[1.0, 0.2, 0, 5], [0, 2.0, 0.1, -7], [0.1, 0, 3.0, 9], [0, 0, 0, 1]])
    straight = straightened((11, 21, 31), affine)
    middle = np.array([5.0, 10.0, 15.0])
    assert axis_skew(straight) < 1e-9
    assert np.allclose(spacing_of(straight), spacing_of(affine))
    assert np.allclose(voxel_to_mm(straight, middle), voxel_to_mm(affine, middle))


def test_gzip_under_a_plain_name_is_renamed(tmp_path: Path) -> None:
    image, _ = two_balls(0)
    write_image(tmp_path / "scan.nii.gz", image, np.eye(4))
    place = (tmp_path / "scan.nii.gz").rename(tmp_path / "scan.nii")
    case = examine_case(Subject("a", place, place), Rules())
    (entry,) = repair(case, lambda path: tmp_path / "fixed" / path.name)
    assert entry.target == tmp_path / "fixed/scan.nii.gz"
    assert entry.target.read_bytes() == place.read_bytes()
    assert gzip.decompress(place.read_bytes())[:4] == (348).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda m: np.where(m == 2, 9, m), "only a person can say"),
        (lambda m: m[2:], "which of the two is right"),
        (lambda m: m * 0, "nothing to repair"),
    ],
)
def test_what_cannot_be_repaired_is_told_with_the_reason(tmp_path: Path, change, why: str) -> None:
    image, mask = two_balls(0)
    (entry,) = fixed(tmp_path, image, change(mask))
    assert entry.target is None
    assert why in entry.what


def test_a_truncated_image_cannot_be_repaired(tmp_path: Path) -> None:
    image, _ = two_balls(0)
    place = tmp_path / "scan.nii.gz"
    write_image(place, image, np.eye(4))
    place.write_bytes(place.read_bytes()[:3000])
    (entry,) = repair(
        examine_case(Subject("a", place, place), Rules()), lambda path: tmp_path / "x" / path.name
    )
    assert entry.target is None
    assert "cannot be read" in entry.what


def test_resampling_loses_nothing_at_the_border(tmp_path: Path) -> None:
    image, mask = two_balls(0)
    affine = np.eye(4)
    affine[1, 2] = 1.0
    fixed(tmp_path, image, np.ones_like(mask), (affine, affine))
    got = read_mask(tmp_path / "fixed/mask.nii.gz", labels=(1, 2))
    assert got.array.sum() * np.linalg.det(got.affine) == pytest.approx(mask.size, rel=0.03)
