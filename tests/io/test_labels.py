from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from medunet.config.card import MaskRule
from medunet.errors import DataError
from medunet.io.read import read_mask


@pytest.fixture
def write(tmp_path: Path):
    def save(*values: float, dtype: type = np.int16) -> Path:
        array = np.zeros((9, 9, 9), dtype)
        array.flat[: len(values)] = values
        nib.save(nib.Nifti1Image(array, np.eye(4), dtype=dtype), tmp_path / "mask.nii.gz")
        return tmp_path / "mask.nii.gz"

    return save


def first(path: Path, count: int, **options: object) -> list[int]:
    mask = read_mask(path, **options)
    assert mask.array.dtype == np.uint8
    return mask.array.flat[:count].tolist()


def test_whole_numbers_in_float_files_are_labels(write) -> None:
    assert first(write(0, 1, 2, dtype=np.float32), 3, labels=[1, 2]) == [0, 1, 2]


def test_any_label_up_to_255_is_accepted_without_a_card(write) -> None:
    assert first(write(0, 7, 255), 3) == [0, 7, 255]
    with pytest.raises(DataError, match=r"256 \(1 voxels\)"):
        read_mask(write(0, 256))


def test_unknown_values_are_named_and_counted(write) -> None:
    with pytest.raises(
        DataError, match=r"mask\.nii\.gz.*9 \(2 voxels\), 70000 \(1 voxels\).*one of \[0, 1, 2\]"
    ):
        read_mask(write(1, 9, 9, 70000, dtype=np.int32), labels=[1, 2])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.0, 0.5), "1 voxels of the mask are not whole numbers, such as 0.5"),
        ((np.nan, np.nan), "2 voxels of the mask are NaN"),
        ((-1.0, 1.0), "1 voxels of the mask are negative, down to -1"),
        ((1e20,), r"1e\+20"),
    ],
)
def test_values_that_are_no_label_are_refused(values: tuple, expected: str, write) -> None:
    for rule in (MaskRule(), MaskRule(rule="instances")):
        with pytest.raises(DataError, match=expected):
            read_mask(write(*values, dtype=np.float32), rule=rule)


def test_values_become_labels_by_the_table(write) -> None:
    rule = MaskRule(values={255: 1, 128: 2, 7: 0})
    assert first(write(0, 255, 128, 7), 4, rule=rule, labels=[1, 2]) == [0, 1, 2, 0]
    with pytest.raises(DataError, match=r"1 \(1 voxels\).*one of \[0, 7, 128, 255\]"):
        read_mask(write(255, 1), rule=rule, labels=[1, 2])


def test_nearest_takes_the_closest_key(write) -> None:
    rule = MaskRule(rule="nearest", values={0: 0, 127: 2, 255: 1})
    path = write(3, 60, 64, 191, 192, 250)  # 191 is half-way: the lower key
    assert first(path, 6, rule=rule) == [0, 0, 2, 2, 1, 1]
    assert first(write(63.4, 63.6, dtype=np.float32), 2, rule=rule) == [0, 2]


def test_instances_become_one_label(write) -> None:
    assert first(write(0, 1, 40000, 3, dtype=np.int32), 4, rule=MaskRule(rule="instances")) == [0, 1, 1, 1]
