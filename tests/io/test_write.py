from __future__ import annotations

import errno
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from medunet.errors import DataError
from medunet.io.read import read_image
from medunet.io.volume import Volume
from medunet.io.write import write_atomic, write_image, write_mask


@pytest.fixture
def like(scan: tuple, tmp_path: Path) -> Volume:
    write_image(tmp_path / "scan.nii.gz", *scan)
    return read_image(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_images_round_trip_in_their_own_type(ending: str, scan: tuple, tmp_path: Path) -> None:
    array, affine = scan
    for channels in (1, 2):
        stack = np.stack([array] * channels) + np.arange(channels, dtype=np.int16)[:, None, None, None]
        write_image(tmp_path / f"a{ending}", stack, affine)
        volume = read_image(tmp_path / f"a{ending}", channels=channels)
        assert np.array_equal(volume.array, stack)
        assert np.allclose(volume.affine, affine, atol=1e-5)
        assert volume.header["dtype"] == "int16"


@pytest.mark.parametrize(
    ("largest", "dtype"), [(1, "uint8"), (255, "uint8"), (256, "uint16"), (70000, "uint32")]
)
def test_masks_take_the_smallest_type(largest: int, dtype: str, like: Volume, tmp_path: Path) -> None:
    mask = np.zeros(like.shape, np.int64)
    mask[2, 3, 4] = largest
    write_mask(tmp_path / "m.nii.gz", mask, like)
    written = nib.load(tmp_path / "m.nii.gz")
    assert written.get_data_dtype() == dtype
    assert written.get_fdata()[2, 3, 4] == largest


def test_the_same_mask_gives_the_same_bytes(like: Volume, tmp_path: Path) -> None:
    mask = np.ones(like.shape, np.uint8)
    write_mask(tmp_path / "a.nii.gz", mask, like)
    write_mask(tmp_path / "b.nii.gz", mask, like)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    assert (tmp_path / "a.nii.gz").read_bytes()[3:8] == bytes(5)  # no name, no time in the gzip header


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("m.nii.gz", lambda m: m[:-1], "shape"),
        ("m.nii.gz", lambda m: m - 1.5, "whole numbers"),
        ("m.nii.gz", lambda m: m.astype(int) - 2, "negative"),
        ("m.jpg", lambda m: m, "unknown ending"),
        ("m.png", lambda m: m, "3D array does not fit"),
    ],
)
def test_what_is_no_mask_is_refused_and_nothing_is_left(
    name: str, change, expected: str, like: Volume, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(DataError, match=expected):
        write_mask(folder / name, change(np.ones(like.shape, np.uint8)), like)
    assert list(folder.iterdir()) == []


def test_a_full_disk_names_the_space_and_keeps_the_old_file(
    like: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "m.nii.gz").write_bytes(b"before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"m\.nii\.gz.*No space left.*needs up to .* MB, .* MB are free"):
        write_mask(folder / "m.nii.gz", np.ones(like.shape, np.uint8), like)
    assert [path.name for path in folder.iterdir()] == ["m.nii.gz"]
    assert (folder / "m.nii.gz").read_bytes() == b"before"


def test_a_folder_that_cannot_be_written_to_is_named(like: Volume, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "deeper" / "m.nii.gz"
    with pytest.raises(DataError, match=r"cannot be written.*name a folder that you may write to") as caught:
        write_mask(target, np.ones(like.shape, np.uint8), like)
    assert str(target) in str(caught.value)


def test_a_new_file_has_the_usual_rights_and_the_mask_of_the_process_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a moment without a mask, files of other threads would be open to all."""
    (tmp_path / "usual").touch()
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("the mask of all threads was changed"))
    with write_atomic(tmp_path / "ours"):
        pass
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_an_error_inside_leaves_no_file(tmp_path: Path) -> None:
    def half(path: Path) -> None:
        with write_atomic(path) as temporary:
            temporary.write_text("half")
            raise KeyError("stop")

    with pytest.raises(KeyError):
        half(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []
    with write_atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "a.txt").read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 1


def test_masks_of_flat_files_lie_where_their_image_lies(tmp_path: Path) -> None:
    affine = np.diag([-0.5, -0.5, 1.0, 1.0])
    affine[:3, 3] = (30, 40, 50)
    nib.save(nib.Nifti1Image(np.arange(20, dtype=np.int16).reshape(4, 5), affine), tmp_path / "a.nii.gz")
    image = SimpleITK.GetImageFromArray(np.arange(20, dtype=np.int16).reshape(5, 4))
    image.SetOrigin((30.0, 40.0))
    image.SetDirection((0.0, 1.0, -1.0, 0.0))
    image.SetSpacing((0.5, 0.25))
    SimpleITK.WriteImage(image, str(tmp_path / "b.mha"))
    for name in ("a.nii.gz", "b.mha"):
        like = read_image(tmp_path / name)
        write_mask(tmp_path / f"mask_{name}", (like.array[0] > 5).astype(np.uint8), like)
    mask = nib.load(tmp_path / "mask_a.nii.gz")
    assert np.allclose(mask.affine, affine)
    assert np.array_equal(np.asarray(mask.dataobj), np.arange(20).reshape(4, 5) > 5)
    written = SimpleITK.ReadImage(str(tmp_path / "mask_b.mha"))
    assert written.GetOrigin() == image.GetOrigin()
    assert written.GetDirection() == image.GetDirection()
    assert written.GetSpacing() == image.GetSpacing()
