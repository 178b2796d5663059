from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from medunet.errors import DataError
from medunet.io.dicom.ct_series import write_ct_series
from medunet.io.find import by_scan
from medunet.io.read import content_hash, find_images, read_image
from medunet.io.sniff import kind_of
from medunet.io.write import write_image


class Marker:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_files_folders_and_series_are_found_with_unlike_names(scan: tuple, tmp_path: Path) -> None:
    array, affine = scan
    for name in ("a/scan.nii.gz", "b/scan.nii.gz", "b/other.mha", "b/.hidden.nii.gz", ".cache/scan.nii"):
        write_image(tmp_path / name, array, affine)
    write_ct_series(tmp_path / "c/ct", array, affine, patient_id="p", description="d", seed=0)
    sources, skipped = find_images([tmp_path])
    assert sorted(source.name for source in sources) == ["a_scan", "b_scan", "ct", "other"]
    assert skipped == []
    series = next(source for source in sources if source.name == "ct")
    assert (series.path, len(series.files)) == (tmp_path / "c/ct", 10)
    for source in sources:
        assert np.array_equal(read_image(source).array[0], array)


def test_slices_named_one_by_one_form_their_series(scan: tuple, tmp_path: Path) -> None:
    write_ct_series(tmp_path / "ct", *scan, patient_id="p", description="d", seed=0)
    sources, _ = find_images(sorted((tmp_path / "ct").iterdir()))
    assert len(sources) == 1
    assert read_image(sources[0]).shape == (11, 9, 10)


def test_what_is_no_image_is_skipped_with_a_reason_and_never_opened(tmp_path: Path) -> None:
    import pickle

    marker = tmp_path / "EXECUTED"
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "model.pt").write_bytes(pickle.dumps(Marker(marker)))
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("../../evil.txt", "x")
    (folder / "page.nii.gz").write_text("<!DOCTYPE html><html>Not found</html>")
    (folder / "card.json").write_text(json.dumps({"a": 1}))
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("hello")
    os.mkfifo(folder / "pipe.nii")
    sources, skipped = find_images([folder, tmp_path / "nowhere"])
    assert sources == []
    reasons = {entry.path.name: entry.reason for entry in skipped}
    expected = {
        "model.pt": "pickle",
        "a.zip": "zip",
        "page.nii.gz": "web page",
        "card.json": "JSON",
        "empty.png": "empty",
        "notes.txt": "text",
        "pipe.nii": "not a regular file",
        "nowhere": "no such file",
    }
    assert set(reasons) == set(expected)
    assert all(word in reasons[name] for name, word in expected.items())
    assert not marker.exists()
    for name in expected:
        if name != "nowhere":
            with pytest.raises(DataError, match=expected[name]):
                read_image(folder / name)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.nii\.gz: there is no such file"):
        read_image(tmp_path / "x.nii.gz")


def test_kind_comes_from_the_content_not_the_name(scan: tuple, tmp_path: Path) -> None:
    write_image(tmp_path / "a.nii.gz", *scan)
    (tmp_path / "a.nii.gz").rename(tmp_path / "a.png")
    assert kind_of(tmp_path / "a.png") == "nifti"
    write_ct_series(tmp_path / "ct", *scan, patient_id="p", description="d", seed=0)
    path = tmp_path / "ct/0001.dcm"
    path.write_bytes(b"II*\0" + b"\0" * 124 + path.read_bytes()[128:])  # a TIFF header in the preamble
    assert kind_of(path) == "dicom"


def test_hash_follows_the_content_not_the_names(scan: tuple, tmp_path: Path) -> None:
    write_ct_series(tmp_path / "ct", *scan, patient_id="p", description="d", seed=0)
    before = content_hash(tmp_path / "ct")
    (tmp_path / "ct/0001.dcm").rename(tmp_path / "ct/z.dcm")
    assert content_hash(tmp_path / "ct") == before
    (tmp_path / "ct/z.dcm").unlink()
    assert content_hash(tmp_path / "ct") != before


def spread(series: Path, folders: int) -> Path:
    """Move the slices of a series into folders of a few each, as a PACS or a disc keeps them."""
    root = series.with_name("spread")
    for number, file in enumerate(sorted(series.iterdir())):
        place = root / f"{number * 7 % folders:02d}"
        place.mkdir(parents=True, exist_ok=True)
        file.rename(place / file.stem)
    return root


@pytest.mark.parametrize("folders", [2, 10])
def test_a_series_is_one_image_however_many_folders_it_lies_in(
    scan: tuple, series: Path, tmp_path: Path, folders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = content_hash(series)
    root = spread(series, folders)
    (source,) = find_images([root]).sources
    assert (source.name, source.path, len(source.files)) == ("spread", root, 10)
    assert np.array_equal(read_image(source).array[0], scan[0])
    assert content_hash(source) == whole
    monkeypatch.chdir(tmp_path)  # one part named from here, the other from the root
    (source,) = find_images([Path("spread/00"), *sorted(root.iterdir())[1:]]).sources
    assert (source.name, source.path) == ("spread", root)


def test_series_of_one_tree_are_told_apart(scan: tuple, series: Path, tmp_path: Path) -> None:
    root = spread(series, 5)
    write_ct_series(tmp_path / "other", *scan, patient_id="p2", description="d", seed=1)
    for file in (tmp_path / "other").iterdir():
        file.rename(root / f"0{int(file.stem) % 5}" / file.name)
    sources = find_images([root]).sources
    assert sorted(len(source.files) for source in sources) == [10, 10]
    assert len({source.name for source in sources}) == 2
    assert all("spread_s" in source.name for source in sources)


def test_a_series_that_lies_twice_is_one_image(scan: tuple, series: Path, tmp_path: Path) -> None:
    shutil.copytree(series, tmp_path / "again/copy")
    (tmp_path / "again/copy/0003.dcm").unlink()
    (source,) = find_images([tmp_path]).sources
    assert len(source.files) == 10
    assert "9 copies of files are left out" in source.said
    assert np.array_equal(read_image(source).array[0], scan[0])


def test_a_folder_that_is_named_twice_is_looked_at_once(series: Path, tmp_path: Path) -> None:
    (source,) = find_images([tmp_path, series, next(series.iterdir())]).sources
    assert (len(source.files), source.said) == (10, ())


def test_files_without_a_series_are_joined_within_their_folder_only(series: Path) -> None:
    root = spread(series, 2)
    for file in root.glob("*/*"):
        dataset = pydicom.dcmread(file)
        dataset.StudyInstanceUID = dataset.SeriesInstanceUID = ""
        dataset.save_as(file)
    assert sorted(source.name for source in find_images([root]).sources) == ["00", "01"]


def test_a_damaged_slice_in_another_folder_is_told_with_the_series(series: Path) -> None:
    root = spread(series, 10)
    damaged = root / "00/0001"
    damaged.write_bytes(damaged.read_bytes()[:400])
    (source,), (entry,) = find_images([root])
    assert entry.path == damaged
    assert "1 DICOM files beside it cannot be read: slices may be missing" in source.said


def test_different_images_in_two_folders_are_named_by_their_paths(series: Path, tmp_path: Path) -> None:
    shutil.copytree(series, tmp_path / "copy")
    dataset = pydicom.dcmread(tmp_path / "copy/0004.dcm")
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(tmp_path / "copy/0004.dcm")
    (source,) = find_images([tmp_path]).sources
    with pytest.raises(DataError, match=r"/copy/0004\.dcm and .*/ct/0004\.dcm, and nothing in their"):
        read_image(source)


def test_only_files_with_the_numbers_of_all_channels_are_one_scan() -> None:
    def names(channels: int, *files: str) -> list[list[str]]:
        return [[str(path) for path in scan] for scan in by_scan(map(Path, files), channels)]

    assert names(3, "IMG_1234.png", "IMG_1235.png", "IMG_1240.png") == [
        ["IMG_1234.png"], ["IMG_1235.png"], ["IMG_1240.png"]
    ]  # fmt: skip
    assert names(2, "a_0001.png", "b.png", "a_0000.png") == [["a_0000.png", "a_0001.png"], ["b.png"]]
    assert names(2, "a_0000.png", "a_0000.png") == [["a_0000.png"]]
    assert names(2, "x/a_0000.png", "y/a_0001.png") == [["x/a_0000.png"], ["y/a_0001.png"]]
    assert names(2, "a_0000.png", "a_0001.jpg") == [["a_0000.png"], ["a_0001.jpg"]]
    assert names(1, "a_0000.png", "a_0001.png") == [["a_0000.png"], ["a_0001.png"]]
